"""Looks once a minute whether the nightly work is due: when; services.retention is what."""

from __future__ import annotations

import threading

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from conversations.services.retention import retention_run

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
_JOIN_SECONDS = 5.0


class Nightly:
    """A thread with a connection of its own: a long purge must not hold up the turns' thread."""

    def __init__(self, *, process: str) -> None:
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nightly", daemon=True)

    def start(self) -> None:
        """Begin, with a first look at once; without RETENTION_DAYS there is nothing to do."""
        if settings.RETENTION_DAYS is not None:
            self._thread.start()

    def stop(self) -> None:
        """End after the batch under way; another process does the rest."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._look()
            self._stopped.wait(LOOK_SECONDS)

    def _look(self) -> None:
        try:
            retention_run(process=self._process, stopped=self._stopped)
        except DatabaseError as error:
            log.warning("retention_failed", error=str(error))
        except Exception:
            # Whatever it was: the next look tries again.
            log.exception("retention_failed")
        finally:
            # Between two looks it holds nothing; the next one gets a fresh connection.
            connection.close()
