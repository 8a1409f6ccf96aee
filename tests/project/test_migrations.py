"""What migrations may do to tables that are large in production, and how long they wait."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tests.commands.operating import start
from tests.databases import database_environment

pytestmark = pytest.mark.skipif(
    not settings.TEST_DATABASE_URL, reason="SQLite has one writer at a time, whatever it does"
)
LARGE = "|".join(f"conversations_{name}" for name in ("conversation", "eventrecord", "looplease"))
#: What locks a table for as long as it is read through, or written anew.
LOCKING = re.compile(
    rf'CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)[^;]* ON "(?:{LARGE})"'
    rf'|ALTER TABLE "(?:{LARGE})" (?!.*NOT VALID)[^;]*'
    r"(?:ADD CONSTRAINT|SET NOT NULL|ALTER COLUMN \S+ TYPE)",
    re.IGNORECASE,
)
#: Looked through, and listed in docs/deploying.md.
KNOWN = {"0001_initial", "0002_idempotency_key", "0005_operators_console"}


def locking(app: str, name: str) -> list[str]:
    out = StringIO()
    call_command("sqlmigrate", app, name, stdout=out)
    return LOCKING.findall(out.getvalue())


@pytest.mark.django_db
def test_no_new_migration_locks_a_large_table() -> None:
    migrations = MigrationLoader(connection).disk_migrations
    ours = [key for key in migrations if key[0] in ("conversations", "settings_app")]
    found = {name for app, name in ours if locking(app, name)}
    assert found == KNOWN, f"{found - KNOWN}: build the index CONCURRENTLY, validate later"


def test_a_migration_that_finds_a_table_in_use_says_so_in_one_line(tmp_path: Path) -> None:
    place = database_environment(tmp_path, migrated=True)
    with psycopg.connect(place["DATABASE_URL"]) as held:
        held.execute("DELETE FROM django_migrations WHERE name = '0003_feedback'")
        held.commit()
        held.execute("LOCK TABLE django_migrations IN ACCESS EXCLUSIVE MODE")
        done = start(tmp_path, "migrate", database=place, DATABASE_LOCK_TIMEOUT="0.2")
    assert done.code == 1
    (line,) = done.err.strip().splitlines()
    assert "canceling statement due to lock timeout" in line
