"""What every executor does: the same tests for each kind, with real rows and a scripted model."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from conversations.agent.testing import finish, run
from conversations.executors.sweep import SWEEP_SECONDS
from conversations.models import Conversation, EventRecord, LoopLease
from conversations.services.conversations import conversation_delete
from conversations.services.messages import message_send
from conversations.services.transactions import in_db_thread
from conversations.services.workspaces import workspace_ensure, workspace_path
from tests.services.doubles import ScriptedTurns
from tests.services.executing import Executor
from tests.services.from_async import read
from tests.services.reading import assert_sound, status
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
Start = Callable[[ScriptedTurns], "asyncio.Future[Executor]"]


async def test_it_runs_what_was_wanted_before_it_started(
    turns: Turns, conversation_of: Make, start: Start
) -> None:
    conversation = await sync_to_async(conversation_of)()
    await start(turns(run("one"), finish(), keeper_runs=False))
    await until(lambda: status(conversation.pk) == "STOPPED")
    assert (await read(conversation))[-1] == "state finished"
    await sync_to_async(assert_sound)(conversation)


async def test_a_message_from_the_databases_thread_starts_a_turn_at_once(
    turns: Turns, conversation_of: Make, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """As the socket's handler does: the wake-up comes out of the thread that the turn needs."""
    conversation = await sync_to_async(conversation_of)("")
    await start(turns(finish(), keeper_runs=False))
    await asyncio.sleep(SWEEP_SECONDS / 4)
    await in_db_thread(message_send, conversation=conversation, content="Now.")
    await until(lambda: status(conversation.pk) == "STOPPED")
    assert (await read(conversation))[-1] == "state finished"
    assert [r for r in caplog.records if r.levelname in {"WARNING", "ERROR"}] == []


async def test_a_stopped_executor_hands_its_turns_to_the_next(
    turns: Turns, conversation_of: Make, start: Start, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 60
    conversation = await sync_to_async(conversation_of)()
    first = turns(run("block"), keeper_runs=False)
    executor = await start(first)
    await until(first.runtimes.runtime.began.is_set)
    await executor.stop()
    await start(turns(finish(), keeper_runs=False, process="next"))
    await until(lambda: status(conversation.pk) == "STOPPED")
    assert (await read(conversation))[-1] == "state finished"
    await sync_to_async(assert_sound)(conversation)


async def test_the_sweep_survives_what_an_agent_left_and_clears_it_away(
    turns: Turns, conversation_of: Make, start: Start, settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    deleted = await sync_to_async(conversation_of)("")
    folder = await asyncio.to_thread(workspace_ensure, deleted.pk)
    await asyncio.to_thread(nest, folder)
    await sync_to_async(conversation_delete)(conversation=deleted)
    await start(turns(finish(), keeper_runs=False))
    await until(lambda: not workspace_path(deleted.pk).exists())
    await until(lambda: not Conversation.objects.filter(pk=deleted.pk).exists())
    assert not await sync_to_async(EventRecord.objects.filter(conversation=deleted.pk).exists)()
    alive = await sync_to_async(conversation_of)()
    await until(lambda: status(alive.pk) == "STOPPED")


@pytest.mark.parametrize("what", ["is run elsewhere", "was run elsewhere", "is gone"])
async def test_a_sandbox_is_not_kept_when_its_conversation(
    turns: Turns, conversation_of: Make, start: Start, what: str
) -> None:
    conversation, other = [await sync_to_async(conversation_of)() for _ in range(2)]
    process = turns(run("one"), run("one"), finish(), finish(), keeper_runs=False)
    await start(process)
    await until(lambda: {conversation.pk.hex, other.pk.hex} == process.runtimes.warm().keys())

    def happen() -> None:
        if what == "is gone":
            # By another process, which has cleared away all but this.
            Conversation.objects.filter(pk=conversation.pk).delete()
        elif what == "was run elsewhere":
            # Between two rounds, to its rest.
            Conversation.objects.filter(pk=conversation.pk).update(epoch=F("epoch") + 1)
        else:
            lease = LoopLease.objects.filter(pk=conversation.pk)
            lease.update(holder="elsewhere:1#7", lease_expires_at=Now() + timedelta(minutes=1))

    await sync_to_async(happen)()
    await until(lambda: process.runtimes.discarded == [conversation.pk.hex])
    assert process.runtimes.warm().keys() == {other.pk.hex}


def nest(folder: Path) -> None:
    """Make folders deeper than a recursion goes, the last one closed to its owner."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)  # relative to a descriptor
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.mkdir("closed", mode=0o000, dir_fd=here)
    os.close(here)
