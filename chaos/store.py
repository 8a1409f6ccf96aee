"""The databases that a deployment under fire lives on. They can be restarted, and asked."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg

_START_SECONDS = 60
_ROOT = 0


class Store(Protocol):
    """One database, empty at first."""

    kind: str

    @property
    def environment(self) -> dict[str, str]:
        """Give what a process has to know to use it."""

    def restart(self) -> None:
        """End it at once, as a crash does, and start it again."""

    def rows(self, statement: str) -> list[Sequence[Any]] | None:
        """Ask it; None while it is away."""


class SQLiteStore:
    """A file in the data directory; there is nothing to restart."""

    kind = "SQLite"

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "handrail.sqlite3"

    @property
    def environment(self) -> dict[str, str]:
        """Give nothing: the file is where it is looked for."""
        return {}

    def restart(self) -> None:
        """Do nothing: it has no process of its own."""

    def rows(self, statement: str) -> list[Sequence[Any]] | None:
        """Ask the file; None while it cannot be read."""
        try:
            with closing(sqlite3.connect(self._file, timeout=5)) as connection:
                return connection.execute(statement).fetchall()
        except sqlite3.OperationalError:
            return None


class PostgreSQLStore:
    """A cluster of its own, with durable commits: it can be ended without harm to any other."""

    kind = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._programs = programs_find()
        # PostgreSQL does not run as root.
        self._user = "postgres" if os.getuid() == _ROOT else None
        folder.mkdir(mode=0o700)
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", "data")

    @property
    def environment(self) -> dict[str, str]:
        """Give its address."""
        return {"DATABASE_URL": self.url}

    @property
    def url(self) -> str:
        """Give where it listens, as an address."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
            "-c max_connections=200"
        )
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """End it as a crash does: without a checkpoint, without waiting for anybody."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", "data")

    def restart(self) -> None:
        """End it as a crash does, and start it again: it recovers from its log."""
        self.stop()
        self.start()

    def rows(self, statement: str) -> list[Sequence[Any]] | None:
        """Ask it; None while it is away."""
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                return list(connection.execute(statement.encode()).fetchall())
        except psycopg.OperationalError:
            return None

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603  # PostgreSQL's own programs
            [str(self._programs / program), *arguments],
            cwd=self._folder,
            user=self._user,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START_SECONDS,
            check=False,
        )
        if done.returncode:
            message = f"{program} failed: {done.stderr.decode(errors='replace').strip()}"
            raise RuntimeError(message)


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def programs_find() -> Path:
    """Give the folder of PostgreSQL's programs. Raises RuntimeError where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    message = "PostgreSQL's initdb was not found: install the package `postgresql`."
    raise RuntimeError(message)


@contextmanager
def postgresql_store() -> Iterator[PostgreSQLStore]:
    """Give a cluster that runs until the block ends, in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="handrail-chaos-") as folder:
        Path(folder).chmod(0o755)
        store = PostgreSQLStore(Path(folder) / "cluster")
        store.start()
        try:
            yield store
        finally:
            store.stop()
