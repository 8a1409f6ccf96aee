"""Workspaces that cannot be removed: tried less and less often, and none in the way of others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations.models import Conversation
from conversations.services import unremoved
from conversations.services.cleanup import BATCH
from conversations.services.conversations import conversation_delete
from conversations.services.unremoved import FIRST_SECONDS, LONGEST_SECONDS, Unremoved
from conversations.services.workspaces import workspace_ensure
from tests.services.doubles import ScriptedTurns
from tests.services.executing import Executor
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
Start = Callable[[ScriptedTurns], "asyncio.Future[Executor]"]

#: Removes what holds no file `stuck`, and keeps a list of what it was asked to.
RM = """#!/bin/sh
for last; do :; done
echo "${{last##*/}}" >> {asked}
if [ -e "$last/stuck" ]; then echo "held" >&2; exit 1; fi
exec /bin/rm "$@"
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Path:
    """Give the list of removals that were tried."""
    settings.DATA_DIR = tmp_path / "data"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "rm").write_text(RM.format(asked=tmp_path / "asked"))
    (tools / "rm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.defpath}")
    return tmp_path / "asked"


def deleted(conversation_of: Make, *, stuck: bool = False) -> UUID:
    conversation = conversation_of("")
    folder = workspace_ensure(conversation.pk)
    if stuck:
        (folder / "stuck").touch()
    conversation_delete(conversation=conversation)
    return conversation.pk


def is_gone(conversation_id: UUID) -> bool:
    return not Conversation.objects.filter(pk=conversation_id).exists()


@pytest.fixture
def _pauses_outlast_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unremoved, "FIRST_SECONDS", 600.0)


@pytest.mark.usefixtures("_pauses_outlast_the_test")
async def test_what_cannot_be_removed_holds_up_no_other(
    turns: Turns,
    conversation_of: Make,
    start: Start,
    asked: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(BATCH + 1):
        await sync_to_async(deleted)(conversation_of, stuck=True)
    await start(turns(keeper_runs=False))
    for _ in range(2):
        fresh = await sync_to_async(deleted)(conversation_of)
        await until(partial(is_gone, fresh))
    tried = (await asyncio.to_thread(asked.read_text)).splitlines()
    assert len(tried) == len(set(tried))
    told = [r for r in caplog.records if "workspace_not_removed" in str(r.msg)]
    assert len(told) == len(tried) - 2


async def test_it_is_tried_again_when_its_time_has_come(
    turns: Turns,
    conversation_of: Make,
    start: Start,
    asked: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unremoved, "FIRST_SECONDS", 0.1)
    stuck = await sync_to_async(deleted)(conversation_of, stuck=True)
    await start(turns(keeper_runs=False))
    await until(lambda: asked.exists() and len(asked.read_text().splitlines()) > 1)
    (asked.parent / "data" / "workspaces" / stuck.hex / "stuck").unlink()
    await until(lambda: is_gone(stuck))


def test_each_failure_doubles_the_pause_up_to_an_hour() -> None:
    held, one, other = Unremoved(), uuid4(), uuid4()
    pauses = [held.note(one) for _ in range(12)]
    assert pauses[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS
    assert held.note(other) == FIRST_SECONDS
    assert held.known() == {one, other}
    assert held.due() is None
    held.forget(one)
    assert held.note(one) == FIRST_SECONDS
