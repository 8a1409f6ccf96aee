"""Logs failures that come again and again until somebody mends the cause. It knows no cause."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

#: While it goes on, a failure is told once in so many seconds, by the whole process.
TELL_SECONDS: Final = 30.0
_lock = threading.Lock()
_told_at: dict[str, float] = {}


def failure_tell(log: Any, event: str, error: Exception, **fields: Any) -> None:
    """Log a failure as one line, unless one of that name was told a short while ago.

    A database that is away fails every reader once a second: hundreds of sockets would fill the
    log with one and the same.
    """
    now = time.monotonic()
    with _lock:
        if now - _told_at.get(event, float("-inf")) < TELL_SECONDS:
            return
        _told_at[event] = now
    log.warning(event, error=" ".join(str(error).split()), **fields)


def failures_over() -> None:
    """Tell each failure at once again: what has failed so far works now."""
    with _lock:
        _told_at.clear()
