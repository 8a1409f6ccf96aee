"""The bus of many processes on one PostgreSQL: NOTIFY after the commit, one connection listens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import structlog
from django.db import Error, connections

from conversations.bus.base import Call
from conversations.bus.memory import MemoryBus

log = structlog.get_logger(__name__)

CHANNEL: Final = "handrail"
#: How operators find the connection in pg_stat_activity; the process id follows.
APPLICATION_NAME: Final = "handrail-bus"
#: Seconds between two tries to listen again, doubled each time up to the second.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


def _parameters() -> dict[str, Any]:
    """Give where Django finds the database, in psycopg's terms, without what is Django's own."""
    parameters = connections["default"].get_connection_params()
    return {key: parameters[key] for key in parameters if key not in ("cursor_factory", "context")}


class PostgresBus(MemoryBus):
    """Wakes this process's listeners at once, and those of the others by NOTIFY.

    While the listening connection is down, the poll of executors.sweep finds what changed.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        """Listen where Django's default database is, unless `parameters` name another place."""
        super().__init__()
        self._place = parameters
        #: Says whose a notification is: our own listeners are awake already.
        self._sender = uuid4().hex[:12]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, again and again where the connection is lost."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Listen no more, and give the connection back."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def publish(self, conversation_id: UUID) -> None:
        """Wake every listener of a conversation, in all processes."""
        self.wake(conversation_id)
        try:
            # After the commit, so a statement of its own: within the transaction, NOTIFY makes all
            # commits of the database wait for each other.
            call = self.call(conversation_id)
            with connections["default"].cursor() as cursor:
                cursor.execute(call.text, call.parameters)
        except Error as error:
            # The commit holds all the same; the others find it by their poll.
            log.warning("wake_up_not_sent", conversation=conversation_id.hex, error=str(error))

    def call(self, conversation_id: UUID) -> Call:
        """Give the NOTIFY that every process hears."""
        payload = f"{conversation_id.hex}:{self._sender}"
        return Call("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    log.info("bus_listens")
                    pause = FIRST_PAUSE
                    async for notification in connection.notifies():
                        self._hear(notification.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("bus_lost", error=" ".join(str(error).split()), again_in=pause)
            except Exception:
                # Whatever it was: a bus that has ended is not missed until somebody waits for it.
                log.exception("bus_lost", again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        place = _parameters() if self._place is None else dict(self._place)
        return await psycopg.AsyncConnection.connect(
            **{**place, "application_name": f"{APPLICATION_NAME}:{os.getpid()}"},
            autocommit=True,
        )

    def _hear(self, payload: str) -> None:
        """Wake whom a notification names; whatever else somebody sends here means nothing."""
        conversation, _, sender = payload.partition(":")
        if sender == self._sender:
            return
        try:
            self.wake(UUID(hex=conversation))
        except ValueError:
            log.warning("wake_up_not_understood", payload=payload[:100])
