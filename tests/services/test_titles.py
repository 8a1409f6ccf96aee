"""Titles beneath the API: what they cost, when they are kept, and what ends their making."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

import pytest
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet
from django.db import connections
from django.test import override_settings

from conversations.agent.llm import LLMError, LLMErrorKind, LLMResponse, Usage
from conversations.agent.testing import ScriptedLLM, text
from conversations.models import Conversation, TitleSource
from conversations.services.conversations import (
    conversation_create,
    conversation_delete,
    conversation_rename,
)
from conversations.services.messages import message_send
from conversations.services.titles import MAX_WAITING, Expected, TitleMaker, title_generate
from settings_app.models import User
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create
from tests.waiting import until

Make = Callable[..., Conversation]
Maker = Callable[..., Awaitable[TitleMaker]]
UNTITLED = Expected("", TitleSource.DEFAULT)
PRICED = Usage(prompt_tokens=40, completion_tokens=5, cost=0.002)


def answer(title: str) -> LLMResponse:
    return LLMResponse(response_id="title", content=title, usage=PRICED)


@pytest.fixture
async def maker() -> AsyncIterator[Maker]:
    """Give a maker of this process's title maker, with its model."""
    made: list[TitleMaker] = []

    async def start(llm: ScriptedLLM, seconds: float = 10.0) -> TitleMaker:
        title_maker = TitleMaker(llm_for=lambda _: llm, seconds=seconds)
        await title_maker.start()
        made.append(title_maker)
        return title_maker

    yield start
    for title_maker in made:
        await title_maker.stop()


def generate(conversation: Conversation) -> bool:
    """Ask for a title as a request does, on a thread of its own."""
    try:
        return title_generate(conversation=conversation)
    finally:
        connections.close_all()


async def make(title_maker: TitleMaker, conversation: Conversation) -> bool:
    """Ask for a title in place of the one that stands there now."""
    return await title_maker.make(conversation.pk, Expected(*await row(conversation)))


@sync_to_async
def row(conversation: Conversation) -> tuple[str, str]:
    values = Conversation.objects.values_list("title", "title_source")
    return values.get(pk=conversation.pk)


@sync_to_async
def cost(conversation: Conversation) -> tuple[float, int, int, int]:
    row = Conversation.objects.get(pk=conversation.pk)
    return row.accumulated_cost, row.prompt_tokens, row.completion_tokens, row.total_tokens


async def test_a_title_is_counted_on_its_conversation(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    title_maker = await maker(ScriptedLLM([answer("One"), answer(""), answer("Three")]))
    for kept in ("One", "Do it.", "Three"):
        assert await make(title_maker, conversation) is True
        assert await row(conversation) == (kept, TitleSource.GENERATED)
    assert await cost(conversation) == pytest.approx((0.006, 120, 15, 135))


async def test_a_title_that_was_overtaken_is_counted_and_dropped(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Too late")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    making = asyncio.create_task(make(title_maker, conversation))
    await until(lambda: len(llm.asked) == 1)
    await sync_to_async(conversation_rename)(conversation=conversation, title="Mine")
    llm.may_answer.set()
    assert await making is True
    assert await row(conversation) == ("Mine", TitleSource.USER)
    assert (await cost(conversation))[1] == 40


async def test_what_a_user_gives_back_and_forth_is_seen_by_its_source(
    conversation_of: Make, maker: Maker
) -> None:
    """The same words from another hand are another title."""
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Same"), answer("Other")])
    title_maker = await maker(llm)
    await make(title_maker, conversation)
    llm.may_answer.clear()
    making = asyncio.create_task(make(title_maker, conversation))
    await until(lambda: len(llm.asked) == 2)
    await sync_to_async(conversation_rename)(conversation=conversation, title="Same")
    llm.may_answer.set()
    assert await making is True
    assert await row(conversation) == ("Same", TitleSource.USER)


async def test_a_waiter_that_gives_up_takes_nothing_from_the_others(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Made once")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    first = asyncio.create_task(make(title_maker, conversation))
    second = asyncio.create_task(make(title_maker, conversation))
    await until(lambda: len(llm.asked) == 1)
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    llm.may_answer.set()
    assert await second is True
    assert await row(conversation) == ("Made once", TitleSource.GENERATED)
    assert len(llm.asked) == 1


async def test_after_the_deadline_the_message_makes_the_title(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)("Sort the lines of a file by their length.")
    llm = ScriptedLLM([answer("Never")])
    llm.may_answer.clear()
    title_maker = await maker(llm, seconds=0.2)
    assert await make(title_maker, conversation) is True
    assert await row(conversation) == ("Sort the lines of a file by th...", TitleSource.GENERATED)


async def test_a_provider_that_fails_is_asked_once(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([LLMError(LLMErrorKind.RATE_LIMIT, "too often", retryable=True)])
    title_maker = await maker(llm)
    assert await make(title_maker, conversation) is True
    assert (await row(conversation))[0] == "Do it."
    assert len(llm.asked) == 1


async def test_the_end_of_the_process_leaves_the_default(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Never")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    title_maker.begin(conversation.pk, UNTITLED)
    await until(lambda: len(llm.asked) == 1)
    await title_maker.stop()
    llm.may_answer.set()
    assert await row(conversation) == ("", TitleSource.DEFAULT)
    title_maker.begin(conversation.pk, UNTITLED)
    assert await row(conversation) == ("", TitleSource.DEFAULT)
    assert len(llm.asked) == 1, "nothing begins in a process that ends"


async def test_at_the_end_of_the_process_who_waits_gets_the_message_and_undoes_nothing(
    conversation_of: Make, maker: Maker
) -> None:
    asked, renamed = await create(conversation_of)(), await create(conversation_of)()
    llm = ScriptedLLM([answer("Never"), answer("Never")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    asking = [asyncio.create_task(asyncio.to_thread(generate, c)) for c in (asked, renamed)]
    await until(lambda: len(llm.asked) == 2)
    await sync_to_async(conversation_rename)(conversation=renamed, title="Mine")
    await title_maker.stop()
    assert await asyncio.gather(*asking) == [True, True]
    assert await row(asked) == ("Do it.", TitleSource.GENERATED)
    assert await row(renamed) == ("Mine", TitleSource.USER)


async def test_a_title_that_a_user_gives_before_the_making_reads_it_stays(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Machine")])
    title_maker = await maker(llm)
    await sync_to_async(conversation_rename)(conversation=conversation, title="Mine")
    # As a turn that has read its conversation a moment ago.
    assert await title_maker.make(conversation.pk, UNTITLED) is True
    assert await row(conversation) == ("Mine", TitleSource.USER)
    assert llm.asked == []


async def test_a_rename_after_a_blank_one_stays(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Machine"), answer("Machine again")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    title_maker.begin(conversation.pk, UNTITLED)
    blank = asyncio.create_task(make(title_maker, conversation))
    await until(lambda: len(llm.asked) == 1)
    await sync_to_async(conversation_rename)(conversation=conversation, title="Mine")
    llm.may_answer.set()
    assert await blank is True
    assert await row(conversation) == ("Mine", TitleSource.USER)
    assert len(llm.asked) == 1


async def test_a_blank_rename_after_a_rename_replaces_it(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Too late"), answer("Made anew")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    title_maker.begin(conversation.pk, UNTITLED)
    await until(lambda: len(llm.asked) == 1)
    await sync_to_async(conversation_rename)(conversation=conversation, title="Mine")
    blank = asyncio.create_task(make(title_maker, conversation))
    await asyncio.sleep(0)
    llm.may_answer.set()
    assert await blank is True
    assert await row(conversation) == ("Made anew", TitleSource.GENERATED)
    assert len(llm.asked) == 2


async def test_who_cannot_wait_does_not_cost_the_title_that_is_being_made(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)("Sort the lines of a file by their length.")
    llm = ScriptedLLM([answer("Lines by length")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    title_maker.begin(conversation.pk, UNTITLED)
    await until(lambda: len(llm.asked) == 1)
    with ExitStack() as places:
        for _ in range(MAX_WAITING):
            places.enter_context(title_maker.place())
        assert await asyncio.to_thread(generate, conversation) is True
    assert (await row(conversation))[0] == "Sort the lines of a file by th..."
    llm.may_answer.set()
    assert await make(title_maker, conversation) is True
    assert await row(conversation) == ("Lines by length", TitleSource.GENERATED)


async def test_images_before_any_text_wait_for_it(owner: User, maker: Maker) -> None:
    conversation = await sync_to_async(conversation_create)(
        owner=owner, image_urls=["data:image/png;base64,AA=="]
    )
    llm = ScriptedLLM([answer("A picture")])
    title_maker = await maker(llm)
    assert await make(title_maker, conversation) is True
    assert await row(conversation) == ("", TitleSource.DEFAULT)
    await sync_to_async(message_send)(conversation=conversation, content="What is this?")
    assert await make(title_maker, conversation) is True
    assert await row(conversation) == ("A picture", TitleSource.GENERATED)


async def test_a_lost_key_costs_the_model_and_not_the_title(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([])
    title_maker = await maker(llm)
    with override_settings(FIELD_ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        assert await make(title_maker, conversation) is True
    assert (await row(conversation))[0] == "Do it."
    assert llm.asked == []


async def test_what_is_gone_has_no_title(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("For nobody")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    making = asyncio.create_task(make(title_maker, conversation))
    await until(lambda: len(llm.asked) == 1)
    await sync_to_async(conversation_delete)(conversation=conversation)
    llm.may_answer.set()
    assert await making is False
    assert await make(title_maker, conversation) is False


async def test_a_turn_begins_a_title_only_where_there_is_none(
    conversation_of: Make, maker: Maker, turns: Callable[..., ScriptedTurns]
) -> None:
    untitled, titled = await create(conversation_of)(), await create(conversation_of)()
    await sync_to_async(conversation_rename)(conversation=titled, title="Mine")
    llm = ScriptedLLM([answer("Made")])
    title_maker = await maker(llm)
    for conversation in (titled, untitled):
        process = turns(text("Done."), titles=title_maker)
        assert await process.run(conversation.pk) is True
    await until(lambda: Conversation.objects.get(pk=untitled.pk).title == "Made")
    assert await row(titled) == ("Mine", TitleSource.USER)
    assert len(llm.asked) == 1


def test_a_process_without_a_model_takes_the_message(conversation_of: Make, owner: User) -> None:
    conversation = conversation_of("Sort the lines of a file by their length.")
    assert title_generate(conversation=conversation) is True
    assert Conversation.objects.get(pk=conversation.pk).title == "Sort the lines of a file by th..."
    conversation_delete(conversation=conversation)
    assert title_generate(conversation=conversation) is False
