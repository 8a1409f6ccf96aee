"""Whether this process answers, and whether it can work. For proxies, containers and people."""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from django.core.management.base import CommandError
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from conversations import dispatch
from conversations.management.readiness import data_dir_check, database_check

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

OK: Final = "ok"
#: How long all checks together may take, and how long what they found is told again.
DEADLINE_SECONDS: Final = 3.0
KEPT_SECONDS: Final = 1.0
#: A sweep comes each second; one that is so late hangs.
HEARTBEAT_SECONDS: Final = 15.0
_RETRY: Final = {"Retry-After": "5"}


@require_safe
def health(_request: HttpRequest) -> JsonResponse:
    """Answer `"OK"`. It asks nobody, so that it answers when others don't."""
    return JsonResponse("OK", safe=False)


def _executor_check() -> None:
    """Raise CommandError unless the loops, or the listeners, of this process are looked after."""
    silent = dispatch.seconds_since_heartbeat()
    if silent is None:
        message = "No executor runs in this process."
        raise CommandError(message)
    if silent > HEARTBEAT_SECONDS:
        message = f"The executor has not been heard of for {silent:.0f} s."
        raise CommandError(message)


#: What is checked, and what is told of each: the reasons name hosts and paths, and go to the log.
_CHECKS: Final[dict[str, tuple[Callable[[], None], str]]] = {
    "database": (database_check, "does not answer, or lacks migrations"),
    "executor": (_executor_check, "does not run turns"),
    "data_directory": (data_dir_check, "cannot be written to"),
}


class _Readiness:
    """Checks at most once a second, however many ask; a check that hangs is left behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._found_at = float("-inf")
        self._checking: threading.Thread | None = None

    def look(self) -> dict[str, str]:
        """Give what each check says now; OK, or what is wrong."""
        with self._lock:
            if time.monotonic() - self._found_at > KEPT_SECONDS:
                self._found = self._check()
                self._found_at = time.monotonic()
            return self._found

    def _check(self) -> dict[str, str]:
        late = f"has not answered in {DEADLINE_SECONDS:g} seconds"
        found = dict.fromkeys(_CHECKS, late)
        if self._checking is not None and self._checking.is_alive():
            # The one before hangs still: one thread is enough for that.
            return found
        self._checking = threading.Thread(target=_run, args=(found,), name="readiness", daemon=True)
        self._checking.start()
        self._checking.join(DEADLINE_SECONDS)
        # A copy: the thread may go on.
        return dict(found)


def _run(found: dict[str, str]) -> None:
    try:
        for name, (check, told) in _CHECKS.items():
            try:
                check()
                found[name] = OK
            except CommandError as error:
                logger.warning("Not ready: %s", error)
                found[name] = told
    except Exception:
        logger.exception("Not ready")
    finally:
        connections.close_all()


_readiness: Final = _Readiness()


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """Say whether this process can work, and if not, what it lacks."""
    checks = _readiness.look()
    is_ready = set(checks.values()) == {OK}
    return JsonResponse(
        {"status": OK if is_ready else "unavailable", "checks": checks},
        status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"Cache-Control": "no-store"} | ({} if is_ready else _RETRY),
    )
