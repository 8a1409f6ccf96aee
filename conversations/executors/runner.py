"""What a process that runs turns has besides, whoever hands them out: leases, sweep, chores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import structlog
from django.db import Error

from conversations.executors.nightly import Nightly
from conversations.executors.sweep import Sweep
from conversations.services.repeating import failure_tell
from conversations.services.turns import TurnResources, turn_run

log = structlog.get_logger(__name__)

#: Seconds that interrupted commands get to end, and then cancelled turns to hand their leases back.
STOP_SECONDS = 5.0


class Runner:
    """Keeps leases, sweeps and purges for the turns that an executor has it run."""

    def __init__(
        self,
        resources: TurnResources,
        *,
        take_up: Callable[[Sequence[UUID]], Awaitable[None]],
    ) -> None:
        """`take_up` gets the conversations that the sweep finds wanted and run by nobody."""
        self.resources = resources
        self._is_ending = False
        self._turns: set[asyncio.Task[Any]] = set()
        self._sweep = Sweep(take_up=take_up, runtimes=resources.runtimes, process=resources.process)
        self._nightly = Nightly(process=resources.process)

    def start(self) -> None:
        """Begin, with a first sweep at once."""
        self.resources.keeper.start()
        self._sweep.start()
        self._nightly.start()

    async def turn(self, conversation_id: UUID) -> bool:
        """Run the wanted turn of a conversation; False when there was none, or it could not be run.

        Raises nothing but a cancellation.
        """
        task = asyncio.current_task()
        assert task is not None
        self._turns.add(task)
        try:
            ran = not self._is_ending and await turn_run(
                conversation_id=conversation_id, resources=self.resources
            )
        except Error as error:
            # Nothing is lost: the next sweep asks again.
            failure_tell(log, "turn_not_run", error, conversation=conversation_id.hex)
            return False
        except Exception:
            log.exception("turn_not_run", conversation=conversation_id.hex)
            return False
        finally:
            self._turns.discard(task)
        if ran:
            # A turn that ended makes room for another of the same user.
            self._sweep.hurry()
        return ran

    async def drain(self, *, seconds: float) -> None:
        """Begin no turn any more; return when those under way have handed their leases back.

        For so many seconds each may come to where no action is open. Then what runs is interrupted
        and observed, and what even that does not end is cancelled.
        """
        self._is_ending = True
        for now, patience in ((False, seconds), (True, STOP_SECONDS)):
            self.resources.keeper.wind_up(now=now or not seconds)
            await self._wait(patience)
        for task in self._turns:
            task.cancel()
        await self._wait(STOP_SECONDS)

    async def _wait(self, seconds: float) -> None:
        if self._turns:
            await asyncio.wait(self._turns, timeout=seconds)

    async def stop(self) -> None:
        """End what goes on beside the turns, when they have ended."""
        await self._sweep.stop()
        await asyncio.to_thread(self._nightly.stop)
        await asyncio.to_thread(self.resources.keeper.stop)
        await self.resources.runtimes.close()

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago the sweep has ended a round."""
        return self._sweep.seconds_since_heartbeat()
