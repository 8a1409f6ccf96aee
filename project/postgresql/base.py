"""Connections to PostgreSQL: whose they are, and how long they wait. It knows no app."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base

if TYPE_CHECKING:
    from psycopg.abc import PQGen

_Result = TypeVar("_Result")
_SILENT: Final = "the database has been silent for too long; the connection was given up"
#: What this process is.
_role: dict[str, str] = {"name": "command"}


def process_serves(role: str) -> None:
    """Name this process, `web` or `worker`: from now on its connections bound their statements.

    Commands don't: a migration may take as long as it takes, once it has its locks.
    """
    _role["name"] = role


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, whose connections say whose they are and give up on a database that is silent."""

    def get_connection_params(self) -> dict[str, Any]:
        """Add the process's name and the server's own timeouts, in the first packet."""
        params: dict[str, Any] = super().get_connection_params()
        timeouts, role = settings.DATABASE_TIMEOUTS, _role["name"]
        set_by_us = {"lock_timeout": timeouts.lock}
        if role != "command":
            set_by_us["statement_timeout"] = timeouts.statement
            set_by_us["idle_in_transaction_session_timeout"] = timeouts.idle
        options = [f"-c {name}={seconds * 1000:.0f}" for name, seconds in set_by_us.items()]
        # The address's own come last, so they hold.
        params["options"] = " ".join([*options, params.get("options", "")]).strip()
        params.setdefault("application_name", f"handrail-{role}:{os.getpid()}")
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        """Connect; a server's connection waits a little longer than the database itself would."""
        connection: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        if _role["name"] != "command":
            timeouts = settings.DATABASE_TIMEOUTS
            bound = timeouts.statement + timeouts.network
            # Django names the class itself, so it cannot be another one.
            connection.wait = _Wait(connection, bound)  # type: ignore[method-assign]
        return connection


class _Wait:
    """Waits as psycopg does, within a bound: a peer may hang and yet keep its TCP alive."""

    def __init__(self, connection: psycopg.Connection[Any], bound: float) -> None:
        self._wait = type(connection).wait
        self._connection = connection
        self._bound = bound

    def __call__(
        self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None
    ) -> _Result:
        """Give the generator's result; without one, it is unknown what became of it."""
        if timeout is not None:
            return self._wait(self._connection, gen, interval, timeout)
        try:
            return self._wait(self._connection, gen, interval, self._bound)
        except psycopg.errors._WaitTimeout as error:  # it has no other name
            self._connection.pgconn.finish()
            raise psycopg.OperationalError(_SILENT) from error
