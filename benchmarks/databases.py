"""Makes the migrated databases of a run, one a size, and takes them away. It measures nothing."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from project.env import variable

ROOT = Path(__file__).parent.parent
#: All that is stored is listed, however old.
_NO_AGE = "999999999"
_CONNECT_SECONDS = 3
_MIGRATE_SECONDS = 100
Environments = dict[str, dict[str, str]]


def postgresql_find() -> str:
    """Give the address of the PostgreSQL that answers, "" where none does."""
    named = variable("TEST_DATABASE_URL")
    users = ("postgres", getpass.getuser())
    for url in [named] if named else [f"postgresql://{u}@127.0.0.1:5432/postgres" for u in users]:
        try:
            psycopg.connect(url, connect_timeout=_CONNECT_SECONDS).close()
        except psycopg.OperationalError:
            continue
        return url
    return ""


@contextmanager
def databases_made(aliases: list[str], *, server_url: str) -> Iterator[Environments]:
    """Give each size's environment; an empty `server_url` means SQLite. All is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="handrail-bench-") as folder:
        environments = {alias: _environment(Path(folder) / alias) for alias in aliases}
        made = _on_postgresql(environments, server_url) if server_url else _on_sqlite(environments)
        with made as names:
            for environment in environments.values():
                environment["BENCHMARK_DATABASES"] = json.dumps(names)
            yield environments


def _environment(data_dir: Path) -> dict[str, str]:
    data_dir.mkdir()
    return {
        "PATH": os.defpath,
        "HOME": str(data_dir),
        "DATA_DIR": str(data_dir),
        "CONVERSATION_MAX_AGE_SECONDS": _NO_AGE,
    }


def migrate(environment: dict[str, str]) -> None:
    """Make the tables of what these settings need."""
    subprocess.run(  # our own command line
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment,
        timeout=_MIGRATE_SECONDS,
        check=True,
    )


@contextmanager
def _on_sqlite(environments: Environments) -> Iterator[dict[str, str]]:
    files = {
        alias: Path(environment["DATA_DIR"]) / "handrail.sqlite3"
        for alias, environment in environments.items()
    }
    first, *others = environments
    migrate(environments[first])
    for alias in others:
        shutil.copy(files[first], files[alias])
    yield {alias: str(file) for alias, file in files.items()}


@contextmanager
def _on_postgresql(environments: Environments, server_url: str) -> Iterator[dict[str, str]]:
    run = f"handrail_bench_{uuid4().hex[:12]}"
    names = {alias: f"{run}_{alias}" for alias in environments}
    first, *others = environments
    create, copy = sql.SQL("CREATE DATABASE {}"), sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(server_url, autocommit=True) as connection:
        try:
            connection.execute(create.format(sql.Identifier(names[first])))
            for alias, environment in environments.items():
                path = f"/{names[alias]}"
                environment["DATABASE_URL"] = urlunsplit(urlsplit(server_url)._replace(path=path))
            migrate(environments[first])
            for alias in others:
                connection.execute(
                    copy.format(sql.Identifier(names[alias]), sql.Identifier(names[first]))
                )
            yield names
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            for name in names.values():
                connection.execute(drop.format(sql.Identifier(name)))
