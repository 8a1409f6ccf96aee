"""Runs wanted turns as asyncio tasks of this process: when and where; services.turns is what."""

from __future__ import annotations

import asyncio
import contextvars
from uuid import UUID

import structlog
from django.db import DatabaseError

from conversations import dispatch
from conversations.executors.nightly import Nightly
from conversations.executors.sweep import Sweep
from conversations.services.turns import TurnResources, turn_run

log = structlog.get_logger(__name__)

#: Seconds that turns get to hand their leases back when the process ends.
STOP_SECONDS = 5.0


class InProcessExecutor:
    """One task a wanted conversation; the sweep finds what no wake-up told of."""

    def __init__(self, resources: TurnResources) -> None:
        self._resources = resources
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._again: set[UUID] = set()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep = Sweep(
            wake=self._start_turn, runtimes=resources.runtimes, process=resources.process
        )
        self._nightly = Nightly(process=resources.process)

    async def start(self) -> None:
        """Begin to run turns, those left over from an earlier process first."""
        self._loop = asyncio.get_running_loop()
        self._resources.keeper.start()
        dispatch.install(self)
        self._sweep.start()
        self._nightly.start()

    async def stop(self) -> None:
        """Run no more turns; those under way hand their leases back for the next process."""
        self._stopping = True
        dispatch.install(None)
        await self._sweep.stop()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        await asyncio.to_thread(self._nightly.stop)
        await asyncio.to_thread(self._resources.keeper.stop)
        await self._resources.runtimes.close()

    def wake(self, conversation_id: UUID) -> None:
        """Look at this conversation soon. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            # In a context of its own: the caller's says that it is on the database's thread, and
            # the task would not be let there.
            self._loop.call_soon_threadsafe(
                self._start_turn, conversation_id, context=contextvars.Context()
            )

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago the sweep has ended a round."""
        return self._sweep.seconds_since_heartbeat()

    def _start_turn(self, conversation_id: UUID) -> None:
        if self._stopping:
            return
        if conversation_id in self._tasks:
            self._again.add(conversation_id)
        else:
            task = asyncio.create_task(self._turns(conversation_id))
            self._tasks[conversation_id] = task

    async def _turns(self, conversation_id: UUID) -> None:
        """Run turns of a conversation while they are wanted."""
        try:
            ran = True
            while ran or conversation_id in self._again:
                self._again.discard(conversation_id)
                ran = await turn_run(conversation_id=conversation_id, resources=self._resources)
                if ran:
                    # A turn that ended makes room for another of the same user.
                    self._sweep.hurry()
        except DatabaseError as error:
            # Nothing is lost: the next sweep asks again.
            log.warning("turn_not_run", conversation=conversation_id.hex, error=str(error))
        except Exception:
            log.exception("turn_not_run", conversation=conversation_id.hex)
        finally:
            self._tasks.pop(conversation_id, None)
            self._again.discard(conversation_id)
