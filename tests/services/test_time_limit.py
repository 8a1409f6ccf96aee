"""The limit of wall time: it pauses between steps, by the log's own times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest_django import Settings

from conversations.agent.limits import LoopConfig
from conversations.agent.testing import finish, run
from conversations.models import Conversation
from conversations.selectors import wanted_conversations
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create, read, request, resume, said, send, sound
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]

#: Whatever is done takes longer.
NO_TIME = LoopConfig(retry_waits=(), max_seconds=0)
#: Nothing does.
MUCH_TIME = replace(NO_TIME, max_seconds=999_999_999)


async def test_the_time_limit_pauses_and_a_message_or_a_resume_goes_on(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("1"), run("2"), finish(), config=NO_TIME)
    await process.run_all(conversation.pk)
    # The step that was begun in time is taken to its end.
    assert process.effects == ["1"]
    assert (await read(conversation))[-2:] == ["environment<error", "state paused"]
    assert (await said(conversation, "error"))[0].startswith("Agent reached maximum of 0 seconds")
    await resume(conversation=conversation)
    await process.run_all(conversation.pk)
    assert process.effects == ["1", "2"]
    assert (await read(conversation))[-1] == "state paused"
    await send(conversation=conversation, content="Go on.")
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


@pytest.mark.parametrize("config", [MUCH_TIME, replace(NO_TIME, max_seconds=None)])
async def test_within_the_time_and_without_a_limit_nothing_is_paused(
    turns: Turns, conversation_of: Make, config: LoopConfig
) -> None:
    conversation = await create(conversation_of)()
    await turns(run("1"), run("2"), finish(), config=config).run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"


async def test_who_takes_a_turn_over_counts_from_where_it_was_begun(
    turns: Turns, conversation_of: Make, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 1.5
    conversation = await create(conversation_of)()
    crashed = turns(run("1"), run("block"), process="crashed", config=MUCH_TIME)
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until(lambda: conversation.pk in wanted_conversations(limit=10))
    successor = turns(run("3"), process="successor", config=NO_TIME)
    await successor.run_all(conversation.pk)
    await turn
    assert (successor.effects, successor.llm.asked) == ([], [])
    assert (await read(conversation))[-1] == "state paused"
    await sound(conversation)


async def test_waiting_for_the_users_word_does_not_count(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    asks = replace(NO_TIME, confirmation_mode=True)
    process = turns(run("1"), run("2"), finish(), config=asks)
    await process.run_all(conversation.pk)
    for done in (["1"], ["1", "2"]):
        assert (await read(conversation))[-1] == "state awaiting_user_confirmation"
        await request(conversation=conversation, state="user_confirmed")
        await process.run_all(conversation.pk)
        assert process.effects == done
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)
