"""A migrated database for each server of the tests, on the kind that this run is for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from django.conf import settings
from psycopg import sql

ROOT = Path(__file__).parent.parent
_made: list[str] = []


def _migrate(environment: dict[str, str]) -> None:
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


@cache
def _postgresql_template() -> str:
    """Migrate once a run: a copy takes a tenth of the time."""
    name = f"handrail_template_{uuid4().hex[:12]}"
    _create(name)
    with tempfile.TemporaryDirectory() as folder:
        _migrate({"DATA_DIR": folder, "DATABASE_URL": _url(name)})
    return name


@cache
def _sqlite_template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="handrail-template-"))
    _migrate({"DATA_DIR": str(folder)})
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


def databases_drop() -> None:
    """Drop what this run has made."""
    if _made:
        with psycopg.connect(settings.TEST_DATABASE_URL, autocommit=True) as connection:
            for name in _made:
                statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(statement.format(sql.Identifier(name)))
    if _sqlite_template.cache_info().currsize:
        shutil.rmtree(_sqlite_template(), ignore_errors=True)
