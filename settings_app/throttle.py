"""How many requests of a user are answered in a while: one counter a user, exact under threads."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import connection
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from settings_app.models import User

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
#: Users whose counters one process keeps; beyond, those that have run out are forgotten.
_MOST_COUNTERS: Final = 10_000
#: One statement counts and answers. By the clock of the database: processes agree.
_COUNT: Final = """
INSERT INTO settings_app_requestcounter AS counter (user_id, begun_at, requests)
VALUES (%(user)s, clock_timestamp(), 1)
ON CONFLICT (user_id) DO UPDATE SET
  requests = CASE WHEN counter.begun_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
             THEN 1 ELSE counter.requests + 1 END,
  begun_at = CASE WHEN counter.begun_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
             THEN clock_timestamp() ELSE counter.begun_at END
RETURNING requests, extract(epoch FROM clock_timestamp() - begun_at)
"""


def rate_parse(rate: str) -> tuple[int, int]:
    """Read a rate such as 50/s or 600/minute: requests, and seconds."""
    number, _, period = rate.partition("/")
    return int(number), _SECONDS[period[0]]


class _Counters:
    """For one process: SQLite has no other. A write for each request would queue behind the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[int, tuple[float, int]] = {}

    def count(self, user_id: int, seconds: int) -> tuple[int, float]:
        """Count a request; give how many there are in this while, and its age in seconds."""
        now = time.monotonic()
        with self._lock:
            begun_at, requests = self._counters.get(user_id, (now, 0))
            if begun_at <= now - seconds:
                begun_at, requests = now, 0
            if len(self._counters) >= _MOST_COUNTERS:
                self._forget(now - seconds)
            self._counters[user_id] = (begun_at, requests + 1)
        return requests + 1, now - begun_at

    def _forget(self, before: float) -> None:
        kept = {user: one for user, one in self._counters.items() if one[0] > before}
        # Where all are in use, the oldest goes: its user begins anew.
        self._counters = dict(list(kept.items())[-_MOST_COUNTERS + 1 :])


_counters: Final = _Counters()


def _count(user_id: int, seconds: int) -> tuple[int, float]:
    if connection.vendor != "postgresql":
        return _counters.count(user_id, seconds)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"user": user_id, "seconds": seconds})
        requests, age = cursor.fetchone()
    return int(requests), float(age)


class RequestThrottle(BaseThrottle):
    """Answers REQUEST_THROTTLE requests of a user in a while that begins with the first of them."""

    _wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count it, and say whether it is answered."""
        user: User = request.user  # type: ignore[assignment]  # nobody else comes so far
        most, seconds = rate_parse(str(settings.REQUEST_THROTTLE))
        requests, age = _count(user.pk, seconds)
        self._wait = max(1.0, math.ceil(seconds - age))
        return requests <= most

    def wait(self) -> float | None:
        """Give the seconds until the next one is answered."""
        return self._wait
