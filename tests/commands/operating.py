"""Operators' commands run in this process and as processes of their own, and rows for them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command
from django.utils import timezone

from conversations.events.base import NewEvent
from conversations.events.codec import user_message
from conversations.models import Conversation, LoopLease
from conversations.services.event_log import log_begin
from conversations.services.transactions import write_transaction
from settings_app.models import User
from tests.databases import ROOT, shared_database_environment

KILLED = ("-m", "tests.killed_server")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Give the report of --json."""
        report = json.loads(self.out)
        assert isinstance(report, dict)
        return report

    def refused(self, *words: str) -> None:
        """Check that it said what is wrong with the arguments, in one line, and did nothing."""
        assert (self.code, self.out) == (2, "")
        assert len(self.err.strip().splitlines()) == 1, self.err
        for word in words:
            assert word in self.err


def call(name: str, *arguments: str) -> Done:
    """Run a command in this process."""
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    code = 0
    try:
        call_command(name, *arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(f"CommandError: {error}\n")
    return Done(code, raw.getvalue().decode(), err.getvalue())


def start(
    data_dir: Path,
    *arguments: str,
    database: dict[str, str] | None = None,
    entry: Sequence[str] = ("manage.py",),
    **environment: str,
) -> Done:
    """Run the real command line, on the test's own database where none is named."""
    data_dir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, *entry, *arguments],
        cwd=ROOT,
        env={
            "PATH": os.defpath,
            "DATA_DIR": str(data_dir),
            **(shared_database_environment() if database is None else database),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def handrail_in(folder: Path) -> Path:
    """Make the command `handrail` in this folder, as pip would; give the folder."""
    folder.mkdir(exist_ok=True)
    command = folder / "handrail"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/manage.py "$@"\n')
    command.chmod(0o755)
    return folder


def conversation(
    owner: User,
    *,
    days: float = 0,
    events: Sequence[NewEvent] = (),
    wanted: bool = False,
    state: str = "awaiting_user_input",
) -> Conversation:
    """Store a conversation that was last updated `days` ago and rests, unless it is wanted."""
    at = timezone.now() - timedelta(days=days)
    new = Conversation(owner=owner, created_at=at, last_updated_at=at)
    with write_transaction():
        log_begin(conversation=new, events=[*events, user_message("Do it.")])
        LoopLease.objects.create(conversation=new, requested=int(wanted))
        Conversation.objects.filter(pk=new.pk).update(agent_state=state)
    return new


def alive() -> set[str]:
    """Give the ids of all conversations that are not deleted."""
    return {pk.hex for pk in Conversation.objects.alive().values_list("pk", flat=True)}
