"""The limit of wall time: it pauses between steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone
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


def let_a_day_pass() -> None:
    yesterday = connection.ops.adapt_datetimefield_value(timezone.now() - timedelta(days=1))
    with connection.cursor() as cursor:
        # By hand: the models change no stored event.
        cursor.execute("UPDATE conversations_eventrecord SET timestamp = %s", [yesterday])


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


async def test_a_time_in_which_nobody_ran_the_turn_does_not_count(
    turns: Turns, conversation_of: Make, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 1.5
    conversation = await create(conversation_of)()
    crashed = turns(run("1"), run("block"), process="crashed", config=MUCH_TIME)
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until(lambda: conversation.pk in wanted_conversations(limit=10))
    await sync_to_async(let_a_day_pass)()
    hour = replace(NO_TIME, max_seconds=3600)
    successor = turns(run("3"), finish(), process="successor", config=hour)
    await successor.run_all(conversation.pk)
    await turn
    assert successor.effects == ["3"]
    assert (await read(conversation))[-1] == "state finished"
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
