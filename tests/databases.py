"""A migrated database for each server of the tests, on the kind that this run is for."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from psycopg import sql

ROOT = Path(__file__).parent.parent
_ROWS = """
SELECT (SELECT count(*) FROM conversations_conversation WHERE id = :id)
     + (SELECT count(*) FROM conversations_looplease WHERE conversation_id = :id)
     + (SELECT count(*) FROM conversations_eventrecord WHERE conversation_id = :id)
"""
_made: list[str] = []
#: Databases dropped at once; each takes a connection.
_DROPS = 10
#: For tests that call PostgreSQL's own tools.
needs_postgresql_tools = pytest.mark.skipif(
    bool(settings.TEST_DATABASE_URL)
    and shutil.which("pg_restore") is None
    and not settings.REQUIRE_POSTGRESQL,
    reason="pg_dump and pg_restore are not installed (package postgresql-client)",
)


def migrate(environment: Mapping[str, str]) -> None:
    """Make the tables."""
    subprocess.run(  # our own command line
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={"PATH": os.defpath, **environment},
        timeout=100,
        check=True,
    )


def _url(name: str) -> str:
    return urlunsplit(urlsplit(settings.TEST_DATABASE_URL)._replace(path=f"/{name}"))


def _create(name: str, *, template: str = "") -> None:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with psycopg.connect(settings.TEST_DATABASE_URL, autocommit=True) as connection:
        connection.execute(statement)
    _made.append(name)


def _drop(name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(settings.TEST_DATABASE_URL, autocommit=True) as connection:
        connection.execute(statement)


@cache
def _postgresql_template() -> str:
    """Migrate once a run: a copy takes a tenth of the time."""
    name = f"handrail_template_{uuid4().hex[:12]}"
    _create(name)
    with tempfile.TemporaryDirectory() as folder:
        # With the queue, which a server without workers does not mind.
        migrate(
            {"DATA_DIR": folder, "DATABASE_URL": _url(name), "EXECUTOR": "procrastinate"},
        )
    return name


@cache
def _sqlite_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="handrail-template-"))
    migrate({"DATA_DIR": str(folder)})
    return folder


def database_environment(data_dir: Path, *, migrated: bool = True) -> dict[str, str]:
    """Make a database for a server on `data_dir`; give what its environment has to say of it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if settings.TEST_DATABASE_URL:
        name = f"handrail_server_{uuid4().hex[:12]}"
        _create(name, template=_postgresql_template() if migrated else "")
        return {"DATABASE_URL": _url(name)}
    if migrated:
        file = _sqlite_template() / "handrail.sqlite3"
        shutil.copy(file, data_dir / file.name)
    return {}


def shared_database_environment() -> dict[str, str]:
    """Give what an environment has to say for a process to work on this test's own database.

    The process sees what the test has committed: such a test asks for `transactional_db`.
    """
    name = str(connections["default"].settings_dict["NAME"])
    return {"DATABASE_URL": _url(name) if settings.TEST_DATABASE_URL else f"sqlite:///{name}"}


def rows_of(environment: Mapping[str, str], conversation_id: str) -> int:
    """Count what a server's database still holds of a conversation, in all tables."""
    if url := environment.get("DATABASE_URL"):
        statement = _ROWS.replace(":id", "%(id)s").encode()
        with psycopg.connect(url) as connection:
            row = connection.execute(statement, {"id": UUID(conversation_id)}).fetchone()
    else:
        file = Path(environment["DATA_DIR"]) / "handrail.sqlite3"
        with closing(sqlite3.connect(file, timeout=10)) as connection:
            row = connection.execute(_ROWS, {"id": conversation_id}).fetchone()
    assert row is not None
    return int(row[0])


def databases_drop() -> None:
    """Drop what this run has made."""
    # Each waits for a checkpoint, and many at once for the same: a second for one, three for ten.
    with ThreadPoolExecutor(_DROPS) as threads:
        list(threads.map(_drop, _made))
    if _sqlite_template.cache_info().currsize:
        shutil.rmtree(_sqlite_template(), ignore_errors=True)
