"""What tests ask of PostgreSQL itself: who is connected, and that one connection be cut."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

#: For tests of what only PostgreSQL has.
needs_postgresql = pytest.mark.skipif(
    not settings.TEST_DATABASE_URL, reason="this is about PostgreSQL"
)


def backends(application_name: str) -> list[int]:
    """Give the ids of this database's connections that call themselves so."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            [application_name],
        )
        return [int(row[0]) for row in cursor.fetchall()]


def backend_end(pid: int) -> None:
    """Cut one connection, as an operator or a restart does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask a server's database."""
    with psycopg.connect(url) as other:
        return list(other.execute(statement.encode()).fetchall())
