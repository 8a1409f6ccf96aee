"""`make chaos`, at its shortest, and whether it would see what it looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings

from chaos.plan import steps
from chaos.report import report_text, total_findings
from chaos.run import Report, Settings, chaos_run
from chaos.store import programs_find
from chaos.task import Task

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


def sound(**changes: Any) -> Task:
    """Give a task whose log and effects are as they should be, but for what is named."""
    log: list[dict[str, Any]] = [
        {"id": 0, "action": "message", "args": {"content": "Begin. [chaos 7]"}},
        {"id": 1, "action": "run", "args": {"command": "echo 7-0 >> effects"}},
        {"id": 2, "observation": "run", "cause": 1},
    ]
    whole = {
        "accepted": ["Begin. [chaos 7]"],
        "log": log,
        "seen": [0, 1, 2],
        "effects": ["7-0"],
        "rested": True,
    }
    return Task(mark="7", messages=1, **{**whole, **changes})


LOG = sound().log


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"accepted": ["Begin. [chaos 7]", "Go on. [chaos 7]"]}, "lost"),
        ({"seen": [0, 2]}, "lost"),
        ({"effects": []}, "lost"),
        ({"log": [LOG[0], {**LOG[1], "id": 2}, {**LOG[2], "id": 3, "cause": 2}]}, "lost"),
        ({"log": [LOG[0], {**LOG[0], "id": 1}]}, "doubled"),
        ({"seen": [0, 1, 1, 2]}, "doubled"),
        ({"seen": [0, 2, 1]}, "doubled"),
        ({"effects": ["7-0", "7-0"]}, "repeated effects"),
        ({"log": LOG[:2]}, "open actions"),
        ({"log": [*LOG, {**LOG[2], "id": 3}]}, "open actions"),
        ({"rested": False}, "stuck"),
    ],
)
def test_what_is_wrong_is_found(changes: dict[str, Any], word: str) -> None:
    assert sound().findings()[word] == []
    assert sound(**changes).findings()[word]
    report = Report(SHORT, tasks=[sound(**changes)])
    assert total_findings(report)
    assert f"\n{word}: " in report_text(report)


def test_what_sanity_check_finds_counts_too() -> None:
    assert total_findings(Report(SHORT, insane="event 3 is missing")) == 1


def test_a_seed_gives_the_same_blows_again() -> None:
    def plan(seed: int) -> list[object]:
        return list(steps(kills=50, seed=seed, pause=1.0, lease=6.0, restarts=True))

    assert plan(1) == plan(1) != plan(2)
    assert (
        len({step.blow for step in steps(kills=50, seed=1, pause=1, lease=6, restarts=True)}) == 4
    )
