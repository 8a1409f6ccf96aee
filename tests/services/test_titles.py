"""Titles beneath the API: what they cost, when they are kept, and what ends their making."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet
from django.db import connections
from django.test import override_settings

from conversations.agent.llm import LLMError, LLMErrorKind, LLMResponse, Usage
from conversations.agent.testing import ScriptedLLM, text
from conversations.models import Conversation, TitleSource
from conversations.services.conversations import conversation_delete, conversation_rename
from conversations.services.titles import TitleMaker, title_generate
from settings_app.models import User
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create
from tests.waiting import until

Make = Callable[..., Conversation]
Maker = Callable[..., Awaitable[TitleMaker]]
PRICED = Usage(prompt_tokens=40, completion_tokens=5, cost=0.002)


def answer(title: str) -> LLMResponse:
    return LLMResponse(response_id="title", content=title, usage=PRICED)


@pytest.fixture
async def maker() -> AsyncIterator[Maker]:
    """Give a maker of this process's title maker, with its model."""
    made: list[TitleMaker] = []

    async def make(llm: ScriptedLLM, seconds: float = 10.0) -> TitleMaker:
        title_maker = TitleMaker(llm_for=lambda _: llm, seconds=seconds)
        await title_maker.start()
        made.append(title_maker)
        return title_maker

    yield make
    for title_maker in made:
        await title_maker.stop()


def generate(conversation: Conversation) -> bool:
    """Ask for a title as a request does, on a thread of its own."""
    try:
        return title_generate(conversation=conversation)
    finally:
        connections.close_all()


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
        assert await title_maker.make(conversation.pk) is True
        assert await row(conversation) == (kept, TitleSource.GENERATED)
    assert await cost(conversation) == pytest.approx((0.006, 120, 15, 135))


async def test_a_title_that_was_overtaken_is_counted_and_dropped(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Too late")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    making = asyncio.create_task(title_maker.make(conversation.pk))
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
    await title_maker.make(conversation.pk)
    llm.may_answer.clear()
    making = asyncio.create_task(title_maker.make(conversation.pk))
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
    first = asyncio.create_task(title_maker.make(conversation.pk))
    second = asyncio.create_task(title_maker.make(conversation.pk))
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
    assert await title_maker.make(conversation.pk) is True
    assert await row(conversation) == ("Sort the lines of a file by th...", TitleSource.GENERATED)


async def test_a_provider_that_fails_is_asked_once(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([LLMError(LLMErrorKind.RATE_LIMIT, "too often", retryable=True)])
    title_maker = await maker(llm)
    assert await title_maker.make(conversation.pk) is True
    assert (await row(conversation))[0] == "Do it."
    assert len(llm.asked) == 1


async def test_the_end_of_the_process_leaves_the_default(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("Never")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    title_maker.begin(conversation.pk)
    asking = asyncio.create_task(asyncio.to_thread(generate, conversation))
    await until(lambda: len(llm.asked) == 1)
    assert await row(conversation) == ("", TitleSource.DEFAULT)
    await title_maker.stop()
    # Who waits on a thread gets what can be had without a model.
    assert await asking is True
    assert await row(conversation) == ("Do it.", TitleSource.GENERATED)


async def test_a_lost_key_costs_the_model_and_not_the_title(
    conversation_of: Make, maker: Maker
) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([])
    title_maker = await maker(llm)
    with override_settings(FIELD_ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        assert await title_maker.make(conversation.pk) is True
    assert (await row(conversation))[0] == "Do it."
    assert llm.asked == []


async def test_what_is_gone_has_no_title(conversation_of: Make, maker: Maker) -> None:
    conversation = await create(conversation_of)()
    llm = ScriptedLLM([answer("For nobody")])
    llm.may_answer.clear()
    title_maker = await maker(llm)
    making = asyncio.create_task(title_maker.make(conversation.pk))
    await until(lambda: len(llm.asked) == 1)
    await sync_to_async(conversation_delete)(conversation=conversation)
    llm.may_answer.set()
    assert await making is False
    assert await title_maker.make(conversation.pk) is False


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
