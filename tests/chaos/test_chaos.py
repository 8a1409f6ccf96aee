"""`make chaos`, at its shortest, and whether it would see what it looks for."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from django.conf import settings

from chaos.client import Api, Follower
from chaos.fleet import ROOT
from chaos.plan import steps
from chaos.report import report_text, total_findings
from chaos.run import Report, Settings, chaos_run
from chaos.store import programs_find
from chaos.task import COMMANDS, Task, recording
from tests.serving import Server

SHORT = Settings(
    database="sqlite",
    kills=30,
    seed=1,
    web=1,
    workers=0,
    active=4,
    model_every=0,
    pause=0.6,
    lease=1.0,
)


@pytest.mark.timeout(240)
def test_thirty_kills_lose_double_and_repeat_nothing() -> None:
    wanted = SHORT
    if settings.TEST_DATABASE_URL:
        wanted = replace(SHORT, database="postgresql", web=2)
        try:
            programs_find()
        except RuntimeError as missing:  # a server elsewhere cannot be restarted from here
            pytest.skip(str(missing))
    report = chaos_run(wanted)
    assert total_findings(report) == 0, report_text(report)
    assert report.blows["kill -9"] == 30
    assert all(task.log for task in report.tasks)
    assert len(report.tasks) >= SHORT.active


def whole_log() -> list[dict[str, Any]]:
    """Give the log of a task that ran as it should."""
    log: list[dict[str, Any]] = [
        {"action": "message", "args": {"content": "Begin. [chaos 7]"}},
        *(
            event
            for number in range(COMMANDS)
            for event in (
                {"action": "run", "args": {"command": f"echo 7-{number} >> effects"}},
                {"observation": "run", "cause": 1 + 2 * number},
            )
        ),
        {"observation": "agent_state_changed", "extras": {"agent_state": "finished"}},
    ]
    return [{**event, "id": number} for number, event in enumerate(log)]


LOG = whole_log()
KEYS = [f"7-{number}" for number in range(COMMANDS)]


def sound(**changes: Any) -> Task:
    """Give a task whose log and effects are as they should be, but for what is named."""
    whole = {
        "accepted": ["Begin. [chaos 7]"],
        "log": LOG,
        "seen": [event["id"] for event in LOG],
        "effects": KEYS,
        "rested": True,
    }
    return Task(mark="7", messages=1, **{**whole, **changes})


def without(*ids: int) -> list[dict[str, Any]]:
    """Give the log without some of its events."""
    return [event for event in LOG if event["id"] not in ids]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"accepted": ["Begin. [chaos 7]", "Go on. [chaos 7]"]}, "lost"),
        ({"seen": [0, 2]}, "lost"),
        ({"effects": KEYS[1:]}, "lost"),
        ({"log": without(3)}, "lost"),
        ({"log": without(1, 2)}, "lost"),
        ({"log": [*LOG, {**LOG[0], "id": len(LOG)}]}, "doubled"),
        ({"seen": [0, 1, 1, 2]}, "doubled"),
        ({"seen": [0, 2, 1]}, "doubled"),
        ({"effects": [*KEYS, "7-0"]}, "repeated effects"),
        ({"log": without(2)}, "open actions"),
        ({"log": [*LOG, {**LOG[2], "id": len(LOG)}]}, "open actions"),
        ({"rested": False}, "stuck"),
        ({"log": [*LOG[:-1], {**LOG[-1], "extras": {"agent_state": "error"}}]}, "stuck"),
        ({"log": []}, "stuck"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], word: str) -> None:
    assert not any(sound().findings().values())
    assert sound(**changes).findings()[word]
    report = Report(SHORT, tasks=[sound(**changes)])
    assert total_findings(report)
    assert f"\n{word}: " in report_text(report)


def test_what_sanity_check_finds_counts_too() -> None:
    assert total_findings(Report(SHORT, insane="event 3 is missing")) == 1
    assert total_findings(Report(SHORT, deaths=["worker-0 ended by itself: no such command"])) == 1


def test_the_command_says_what_it_takes() -> None:
    done = subprocess.run(  # our own command line
        [sys.executable, "-m", "chaos", "--database", "sqlite", "--workers", "2"],
        cwd=ROOT,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "SQLite is for one process" in done.stderr


def test_a_seed_gives_the_same_blows_again() -> None:
    def plan(seed: int) -> list[object]:
        return list(steps(kills=50, seed=seed, pause=1.0, lease=6.0, restarts=True))

    assert plan(1) == plan(1) != plan(2)
    assert (
        len({step.blow for step in steps(kills=50, seed=1, pause=1, lease=6, restarts=True)}) == 4
    )


def sessions_open() -> set[aiohttp.ClientSession]:
    """Give what aiohttp would complain of at the end of the process."""
    made = [thing for thing in gc.get_objects() if type(thing) is aiohttp.ClientSession]
    return {session for session in made if not session.closed}


async def test_a_client_of_a_frozen_server_leaves_no_session_open(bare_server: Server) -> None:
    conversation_id = bare_server.create("", replay_json=recording("frozen"))
    before = sessions_open()
    async with aiohttp.ClientSession() as session:
        follower = Follower(Api(session, [bare_server.port]), conversation_id)
        following = asyncio.create_task(follower.follow())
        await follower.has_seen(0)
        bare_server.signal(signal.SIGSTOP)
        try:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        finally:
            bare_server.signal(signal.SIGCONT)
    assert sessions_open() == before
