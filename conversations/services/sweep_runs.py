"""Notes that a process has swept. Rows only; executors.sweep says when."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Final

from django.db.models import QuerySet
from django.db.models.functions import Now

from conversations.models import SweepRun
from conversations.services.transactions import write_transaction

#: How long a process that ended is remembered.
_KEPT: Final = timedelta(days=1)


#: A sweep comes each second and is noted every few; a process that is silent for so long hangs.
SILENT: Final = timedelta(seconds=15)


def process_name() -> str:
    """Name this process, for people who look at leases and sweeps."""
    return f"{_host()}:{os.getpid()}"


def _host() -> str:
    return socket.gethostname()[:64]


def sweeps_here() -> bool:
    """Whether a process of this machine, or this container, has swept just now."""
    return _recent().filter(process__startswith=f"{_host()}:").exists()


def sweeps_somewhere() -> bool:
    """Whether any process that runs turns has swept just now, on this machine or another."""
    return _recent().exists()


def _recent() -> QuerySet[SweepRun]:
    return SweepRun.objects.filter(last_run_at__gt=Now() - SILENT)


def sweep_run_note(*, process: str) -> None:
    """Note a run; the first one of a process also forgets those that ended long ago."""
    with write_transaction():
        row = SweepRun.objects.filter(pk=process)
        if not row.update(last_run_at=Now()):
            _begin(process)


def sweep_begin(*, process: str) -> None:
    """Note the start of a process: its id may have been another's before."""
    with write_transaction():
        SweepRun.objects.filter(pk=process).delete()
        _begin(process)


def _begin(process: str) -> None:
    SweepRun.objects.filter(last_run_at__lt=Now() - _KEPT).delete()
    SweepRun.objects.create(process=process, started_at=Now(), last_run_at=Now())
