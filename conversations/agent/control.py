"""How a turn is told to end: a stop, or the loss of its lease. Plain asyncio; no database."""

from __future__ import annotations

import asyncio
import math
import time

from conversations.exceptions import HandrailError


class TurnInterruptedError(HandrailError):
    """The user stopped or paused the turn."""

    code = "turn_interrupted"


class LeaseLostError(HandrailError):
    """The turn's lease ran out: another runner may have begun."""

    code = "lease_lost"


class TurnControl:
    """Carries the two ways in which a turn ends early; both last until the turn is over.

    The deadline is on the monotonic clock, which goes on while a process is frozen: a runner that
    wakes up behind its time knows it before it acts.
    """

    def __init__(self, *, deadline: float = math.inf) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._stop_requested = False
        self._deadline = deadline

    def request_stop(self) -> None:
        """Ask the turn to end at once; whether it stops or pauses, the log's side decides."""
        self._stop_requested = True
        self._changed.set()

    def extend(self, deadline: float) -> None:
        """Move the lease's end to `deadline` (time.monotonic()). From any thread."""
        self._deadline = deadline

    def lose_lease(self) -> None:
        """Tell the turn that it may neither act nor write any more. From any thread."""
        self._deadline = -math.inf
        self._loop.call_soon_threadsafe(self._changed.set)

    @property
    def lease_lost(self) -> bool:
        """Whether the turn may no longer write."""
        return time.monotonic() >= self._deadline

    def check(self) -> None:
        """Raise LeaseLostError or TurnInterruptedError where the turn has to end."""
        if self.lease_lost:
            raise LeaseLostError
        if self._stop_requested:
            raise TurnInterruptedError

    async def wait(self) -> None:
        """Return when the turn has to end."""
        while not (self._stop_requested or self.lease_lost):
            left = self._deadline - time.monotonic()
            try:
                async with asyncio.timeout(None if math.isinf(left) else max(left, 0.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue
