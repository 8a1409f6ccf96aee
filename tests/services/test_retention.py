"""The nightly purge: due once a night, in one process, and taken up again after a death."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connections

from conversations.models import Chore, Conversation
from conversations.services.chores import chore_claim
from conversations.services.retention import CHORE, due_at, retention_run
from settings_app.models import User
from tests.commands.operating import alive, conversation
from tests.databases import ROOT, shared_database_environment
from tests.killed_server import ORDER
from tests.serving import CALM, Server
from tests.waiting import until_true

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def _thirty_days(settings: Settings) -> None:
    settings.RETENTION_DAYS = 30


def run(process: str = "one", *, stopped: bool = False) -> int | None:
    event = threading.Event()
    if stopped:
        event.set()
    return retention_run(process=process, stopped=event)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 3, 1, 2, 59, tzinfo=UTC), datetime(2026, 2, 28, 3, tzinfo=UTC)),
        (datetime(2026, 3, 1, 3, 0, tzinfo=UTC), datetime(2026, 3, 1, 3, tzinfo=UTC)),
    ],
)
def test_it_is_due_at_three(now: datetime, due: datetime) -> None:
    assert due_at(now) == due


def test_it_is_off_by_default(user: User, settings: Settings) -> None:
    settings.RETENTION_DAYS = None
    conversation(user, days=999)
    assert run() is None
    assert len(alive()) == 1
    assert not Chore.objects.exists()


def test_what_is_over_age_goes_once_a_night(user: User, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(60):
        conversation(user, days=31)
    stays = {conversation(user, days=29).pk.hex, conversation(user, days=31, wanted=True).pk.hex}
    with caplog.at_level(logging.INFO):
        assert run() == 60
    assert alive() == stays
    (started,) = [r for r in caplog.messages if "retention_started" in r]
    assert "'conversations': 60" in started
    later = conversation(user, days=31)
    assert run() is None
    assert later.pk.hex in alive()
    Chore.objects.update(done_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert run() == 1


def test_a_process_that_ends_leaves_the_rest_to_the_next(user: User) -> None:
    conversation(user, days=31)
    assert run(stopped=True) == 0
    assert len(alive()) == 1
    assert run("two") == 1


def test_while_one_is_at_it_no_other_begins(user: User) -> None:
    conversation(user, days=31)
    assert chore_claim(name=CHORE, process="one", due=datetime(2026, 1, 1, tzinfo=UTC))
    assert run("two") is None
    Chore.objects.update(lease_expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert run("two") == 1


def test_of_many_processes_one_does_it(user: User) -> None:
    for _ in range(5):
        conversation(user, days=31)
    results: list[int | None] = []

    def run_one(number: int) -> None:
        try:
            results.append(run(f"process-{number}"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run_one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [5, None, None, None, None, None]


DYING = """
import threading
from project.env import settings_module_default
from pathlib import Path
import os, sys
settings_module_default("project.settings")
import django
django.setup()
from django.db.backends.signals import connection_created
from project.env import variable
from tests.killed_server import ORDER, Killer
from conversations.services.retention import retention_run
killer = Killer(Path(variable("DATA_DIR")) / ORDER)
connection_created.connect(killer.connected)
retention_run(process="dying", stopped=threading.Event())
"""


def test_after_kill_9_in_the_middle_another_process_does_the_rest(
    user: User, tmp_path: Path
) -> None:
    made = [conversation(user, days=31) for _ in range(60)]
    # In the second batch of fifty, between the statements of one delete.
    (tmp_path / ORDER).write_text(f"{max(c.pk.hex for c in made)} 3")
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-c", DYING],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "DATA_DIR": str(tmp_path),
            "RETENTION_DAYS": "30",
            **shared_database_environment(),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(alive()) == 10
    assert run() is None, "the dead one's claim still stands"
    Chore.objects.update(lease_expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert run() == 10
    assert not Conversation.objects.alive().exists()


def test_a_server_with_it_says_so_in_its_log(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", entry=CALM, RETENTION_DAYS="30")
    server.start()
    try:
        until_true(lambda: "retention_done" in server.log)
    finally:
        server.stop()
    assert "retention_started" in server.log
    assert server.log.count("retention_done") == 1
