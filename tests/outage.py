"""Takes a server's database away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.serving import Server


@contextmanager
def database_away(server: Server) -> Iterator[None]:
    """Keep everybody from a server's database, those who are connected too."""
    url = server.database.get("DATABASE_URL")
    if url is None:
        file = server.data_dir / "handrail.sqlite3"
        kept = file.rename(server.data_dir / "kept")
        file.mkdir()
        yield
        file.rmdir()
        kept.rename(file)
        return
    base, _, name = url.rpartition("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
