"""Copies an SQLite database that others write to, and checks the copy. It knows no table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from conversations.exceptions import HandrailError

#: Pages copied at a time, 4 MB; between two pieces the command can be interrupted.
PIECE: Final = 1000
#: Seconds to wait for whoever has locked the database whole.
_BUSY_SECONDS: Final = 20


class DatabaseNotCopiedError(HandrailError):
    """The database could not be copied."""

    code = "database_not_copied"


def database_copy(source: Path, target: Path, *, tell: Callable[[int], None]) -> None:
    """Copy all that was committed by now into the empty file `target`, which becomes one file.

    `tell` gets the pages copied so far. Raises DatabaseNotCopiedError.
    """
    try:
        _copy(source, target, tell)
        problems = _check(target)
    except sqlite3.Error as error:
        message = f"{source} cannot be copied to {target.parent}: {error}."
        raise DatabaseNotCopiedError(message) from error
    if problems:
        message = (
            f"The copy of {source} does not pass SQLite's integrity check ({problems[0]}): the "
            "database itself is damaged. Keep the last good backup; nothing was written."
        )
        raise DatabaseNotCopiedError(message)


def _copy(source: Path, target: Path, tell: Callable[[int], None]) -> None:
    # "rw": a database that is not there is not made.
    uri = f"{source.as_uri()}?mode=rw"
    with (
        closing(
            sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        ) as here,
        closing(sqlite3.connect(target, isolation_level=None)) as there,
    ):
        # Made durable as a whole at the end: no journal of its own is needed.
        there.execute("PRAGMA journal_mode=OFF")
        there.execute("PRAGMA synchronous=OFF")
        # The snapshot of this transaction is what is copied. Without it SQLite begins anew after
        # each commit of somebody else, and beside a busy server never ends.
        here.execute("BEGIN")
        here.execute("SELECT 1 FROM sqlite_schema").fetchone()
        here.backup(there, pages=PIECE, progress=lambda _status, left, all_: tell(all_ - left))
        here.execute("ROLLBACK")


def _check(copy: Path) -> list[str]:
    """Make it one file without a log beside it; give what SQLite finds wrong in it."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        found = [
            " ".join(row[0].split()) for row in connection.execute("PRAGMA integrity_check(1)")
        ]
    return [] if found == ["ok"] else found
