"""How this app opens a transaction to write, and calls the database from async code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import OperationalError, close_old_connections, connection, transaction

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds until a listener tries a read that failed again: no wake-up may come for it.
RETRY_SECONDS = 1.0

#: For how long a connection that has answered is taken for sound: to ask it each time would be a
#: third of all that this thread sends.
TRUSTED_SECONDS = 1.0

_STILL_AWAY = "the database did not answer a moment ago, and was not asked again"
_WRITER = threading.RLock()
#: When the database's thread failed to connect, by the monotonic clock.
_away: dict[str, float] = {}


class _Trust(threading.local):
    """Until when this thread's connection is taken for sound, by the monotonic clock."""

    until = 0.0


_trust = _Trust()


@contextmanager
def write_transaction() -> Iterator[None]:
    """Open a transaction that writes, or join the one that is open.

    SQLite lets waiting writers starve (seconds, measured with eight): so within a process they
    queue here, and meet its busy handler only across processes.
    """
    if connection.vendor == "sqlite":
        with _WRITER, transaction.atomic(savepoint=False):
            yield
    else:
        with transaction.atomic(savepoint=False):
            yield


async def in_db_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run short ORM work from async code, on the thread that this process keeps for it.

    A connection that the database has dropped is put away first, so that a restart of the database
    costs one error and no more; one that has just answered is not asked whether it does. While the
    database is away, it is asked once a second, whoever wants it: all wait on this thread, and each
    try may take DATABASE_CONNECT_TIMEOUT.
    """

    def call() -> T:
        if connection.errors_occurred or time.monotonic() > _trust.until:
            close_old_connections()
        _connect()
        result = function(*args, **kwargs)
        _trust.until = time.monotonic() + TRUSTED_SECONDS
        return result

    return await sync_to_async(call, thread_sensitive=True)()


def _connect() -> None:
    if connection.connection is not None:
        return
    if time.monotonic() - _away.get("at", float("-inf")) < RETRY_SECONDS:
        raise OperationalError(_STILL_AWAY)
    try:
        connection.ensure_connection()
    except OperationalError:
        _away["at"] = time.monotonic()
        raise
