"""What all commands for operators share: times, progress, broken pipes, errors in one line."""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conversations.events.codec import user_message
from conversations.management.operator_command import Progress, duration
from settings_app.models import User
from tests.commands.operating import call, conversation, start
from tests.databases import ROOT, database_environment, shared_database_environment

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("012h", timedelta(hours=12)),
        ("36500d", timedelta(days=36_500)),
    ],
)
def test_times_are_read(text: str, time: timedelta) -> None:
    assert duration(text) == time


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "36501d", "٣d", "1w", "1d\n"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="it must be a time such as"):
        duration(text)


def test_progress_shows_on_a_terminal_only() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        progress = Progress("deleted", stream)
        for number in range(1, 5000):
            progress.at(number)
        progress.end()
    assert terminal.getvalue().startswith("\rdeleted: 1 ")
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert len(terminal.getvalue()) < 5000
    assert file.getvalue() == ""


def test_a_reader_that_has_enough_is_no_traceback(user: User, tmp_path: Path) -> None:
    pk = conversation(user, events=[user_message("x" * 2000)] * 200).pk
    process = subprocess.Popen(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", "export_conversation", pk.hex],
        cwd=ROOT,
        env={"PATH": os.defpath, "DATA_DIR": str(tmp_path), **shared_database_environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.read(10) == b'{"trajecto'
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.wait(20) == 1


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    database = database_environment(tmp_path, migrated=False)
    done = start(tmp_path, "purge_conversations", "--older-than", "1d", database=database)
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1
    assert "The database" in done.err


def test_what_the_system_refuses_is_one_line(
    user: User, settings: Settings, tmp_path: Path
) -> None:
    conversation(user, days=9)
    (tmp_path / "file").write_text("in the way")
    settings.DATA_DIR = tmp_path / "file"
    done = call("purge_conversations", "--older-than", "8d")
    assert done.code == 1
    assert str(tmp_path / "file") in done.err
