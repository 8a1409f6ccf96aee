"""Waiting for a condition, with a deadline: the only way in which tests wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from asgiref.sync import sync_to_async

DEADLINE_SECONDS = 20.0
#: Between two looks, longer each time: whoever looks keeps a server busy that others wait for.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(1.5 * pause, _LONGEST_PAUSE)


async def until(condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return when the condition holds; fail when it does not in time. It may ask the database."""
    end, pauses = time.monotonic() + seconds, _pauses()
    while not await sync_to_async(condition)():
        assert time.monotonic() < end, f"waited {seconds} s for a condition in vain"
        await asyncio.sleep(next(pauses))


def until_true(condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Do the same without an event loop."""
    end, pauses = time.monotonic() + seconds, _pauses()
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for a condition in vain"
        time.sleep(next(pauses))
