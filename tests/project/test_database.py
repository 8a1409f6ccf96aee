"""How a process is connected to PostgreSQL: named, and with a bound on every wait."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connections
from django.db.utils import OperationalError

from project.database import Timeouts, database_parse, database_settings
from project.postgresql.base import process_serves

TIMEOUTS = Timeouts(connect=4, network=12, statement=30, lock=5, idle=20)
needs_postgresql = pytest.mark.skipif(not settings.TEST_DATABASE_URL, reason="is for PostgreSQL")


def test_the_address_has_the_last_word() -> None:
    plain = database_parse("DATABASE_URL", "postgresql://me@db.example:5433/handrail")
    assert database_settings(plain, TIMEOUTS)["OPTIONS"] == {
        "connect_timeout": 4,
        "tcp_user_timeout": 12_000,
        "keepalives_idle": 6,
        "keepalives_interval": 2,
        "keepalives_count": 3,
    }
    own = database_parse(
        "DATABASE_URL", "postgresql://me@db.example/handrail?connect_timeout=9&sslmode=require"
    )
    options = database_settings(own, TIMEOUTS)["OPTIONS"]
    assert (int(options["connect_timeout"]), options["sslmode"]) == (9, "require")
    assert options["keepalives_count"] == 3


@pytest.fixture
def role() -> Iterator[None]:
    """Let a test serve; this process is a command else."""
    yield
    process_serves("command")


def shown(*names: str) -> list[str]:
    """Give what a new connection says of its own settings."""
    connection = connections["default"].copy()
    try:
        with connection.cursor() as cursor:
            values = []
            for name in names:
                cursor.execute(f"SHOW {name}")
                values.append(str(cursor.fetchone()[0]))
            return values
    finally:
        connection.close()


BOUNDS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")


@needs_postgresql
@pytest.mark.django_db
def test_a_command_waits_for_locks_only_so_long_and_then_works_as_long_as_it_takes() -> None:
    assert shown(*BOUNDS) == ["3s", "0", "0"]
    assert shown("application_name") == [f"handrail-command:{os.getpid()}"]


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.usefixtures("role")
def test_a_server_bounds_every_statement() -> None:
    process_serves("web")
    assert shown(*BOUNDS) == ["3s", "1min", "10s"]
    assert shown("application_name") == [f"handrail-web:{os.getpid()}"]


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.usefixtures("role")
def test_a_statement_that_takes_too_long_is_the_databases_error() -> None:
    process_serves("web")
    connection = connections["default"].copy()
    connection.settings_dict["OPTIONS"]["options"] = "-c statement_timeout=100"
    try:
        with connection.cursor() as cursor, pytest.raises(OperationalError, match="timeout"):
            cursor.execute("SELECT pg_sleep(20)")
    finally:
        connection.close()
