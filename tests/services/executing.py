"""Executors of both kinds for the same tests, and what the queue of the second kind holds."""

from __future__ import annotations

from typing import Any

from django.db import connection

from conversations.executors.in_process import InProcessExecutor
from conversations.executors.procrastinate import ProcrastinateExecutor
from tests.services.doubles import ScriptedTurns

Executor = InProcessExecutor | ProcrastinateExecutor
#: Turns at once of a worker in these tests.
CONCURRENCY = 4


def executor_of(kind: str, process: ScriptedTurns) -> Executor:
    """Make an executor of the process's resources."""
    if kind == "in_process":
        return InProcessExecutor(process.resources)
    return ProcrastinateExecutor(process.resources, concurrency=CONCURRENCY)


def rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask the database."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def jobs() -> list[tuple[int, str]]:
    """Give id and status of every job."""
    return [(pk, status) for pk, status in rows("SELECT id, status FROM procrastinate_jobs")]


def queue_clear() -> None:
    """Forget jobs and workers: a test's flush leaves the tables of others alone."""
    rows("DELETE FROM procrastinate_jobs")
    rows("DELETE FROM procrastinate_workers")
