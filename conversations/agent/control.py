"""How a turn is told to end: a stop, a lost lease, a shutdown. Plain asyncio; no database."""

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


class TurnHandedBackError(HandrailError):
    """The turn's process is ending: another one goes on. No action of the agent has been begun."""

    code = "turn_handed_back"


class TurnControl:
    """Carries the three ways in which a turn ends early; each lasts until the turn is over.

    The deadline is on the monotonic clock, which goes on while a process is frozen: a runner that
    wakes up behind its time knows it before it acts.
    """

    def __init__(self, *, deadline: float = math.inf) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._stop_requested = False
        self._hands_back = False
        self._hands_back_now = False
        self._deadline = deadline

    def request_stop(self) -> None:
        """Ask the turn to end at once; whether it stops or pauses, the log's side decides."""
        self._stop_requested = True
        self._changed.set()

    def hand_back(self, *, now: bool) -> None:
        """Ask the turn to leave off for another process: where no action is open.

        `now`: what is under way is interrupted, what has not begun is not executed.
        """
        self._hands_back = True
        self._hands_back_now |= now
        self._changed.set()

    @property
    def interrupted_by(self) -> str:
        """Say why an action was interrupted, for whoever reads its observation."""
        if self._hands_back_now and not self._stop_requested:
            return "the process that ran it was shut down"
        return "the agent was stopped"

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

    def check(self, *, at_boundary: bool = False) -> None:
        """Raise LeaseLostError, TurnInterruptedError or TurnHandedBackError if the turn has to end.

        `at_boundary`: nothing is open, so this is where a turn is handed back in good time.
        """
        if self.lease_lost:
            raise LeaseLostError
        if self._stop_requested:
            raise TurnInterruptedError
        if self._hands_back_now or (at_boundary and self._hands_back):
            raise TurnHandedBackError

    async def wait(self, *, at_boundary: bool = False) -> None:
        """Return when the turn has to end; `at_boundary` as for check."""
        while not self._has_to_end(at_boundary=at_boundary):
            self._changed.clear()
            left = self._deadline - time.monotonic()
            try:
                async with asyncio.timeout(None if math.isinf(left) else max(left, 0.0)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _has_to_end(self, *, at_boundary: bool) -> bool:
        return (
            self._stop_requested
            or self.lease_lost
            or self._hands_back_now
            or (at_boundary and self._hands_back)
        )
