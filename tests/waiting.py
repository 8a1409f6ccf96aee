"""Waiting for a condition, with a deadline: the only way in which tests wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from asgiref.sync import sync_to_async

DEADLINE_SECONDS = 20.0
_POLL_SECONDS = 0.02


async def until(condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return when the condition holds; fail when it does not in time. It may ask the database."""
    end = time.monotonic() + seconds
    while not await sync_to_async(condition)():
        assert time.monotonic() < end, f"waited {seconds} s for a condition in vain"
        await asyncio.sleep(_POLL_SECONDS)


def until_true(condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Do the same without an event loop."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for a condition in vain"
        time.sleep(_POLL_SECONDS)
