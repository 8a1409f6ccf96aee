"""Searches all that the servers of a run have stored, sent and logged for planted secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

#: The key and the token that tests give to users; they may be found nowhere but at the provider's.
KEY = "sk-tests-0123456789"
TOKEN = "ghp_tests0123456789"
_MARKERS = (KEY, TOKEN)
#: The data directory of each server, and its database where that is not a file in there.
_places: list[tuple[Path, str | None]] = []


def remember(data_dir: Path, database_url: str | None) -> None:
    """Have a place searched when the run ends."""
    _places.append((data_dir, database_url))


def search_and_forget(database_url: str) -> None:
    """Search a database that goes before the run ends, and ask for it no more."""
    assert not [table for table, row in _rows(database_url) if any(m in row for m in _MARKERS)]
    _places[:] = [(folder, None if url == database_url else url) for folder, url in _places]


def assert_tells_no_secret(said: Any) -> None:
    """Check an answer or an event of the server's."""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    for marker in _MARKERS:
        assert marker not in text, f"a secret was sent: …{text[:200]}"


def _rows(url: str) -> Iterator[tuple[str, str]]:
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            statement = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
            for (row,) in connection.execute(statement):
                yield table, row


def found() -> list[str]:
    """Give where a planted secret stands in plain text."""
    places = []
    for data_dir, url in _places:
        for file in data_dir.rglob("*"):
            # Bytes, so that databases and their logs are searched too, deleted rows included.
            if file.is_file() and any(m.encode() in file.read_bytes() for m in _MARKERS):
                places.append(str(file))
        if url is not None:
            places += [table for table, row in _rows(url) if any(m in row for m in _MARKERS)]
    return places
