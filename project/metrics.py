"""`/metrics`: what this process has counted, and which loops the database knows. For scrapers."""

from __future__ import annotations

import hmac
import logging
import platform
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from conversations import dispatch
from conversations.admin.loop_reads import loops_count
from conversations.telemetry import telemetry
from project.version import version

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: How long a scrape waits for another one's question to the database.
WAIT_SECONDS: Final = 2.0
_NOBODY: Final = "Send the header `Authorization: Bearer …` with METRICS_TOKEN.\n"


class LoopCollector(Collector):
    """Asks, at each scrape, which loops there are and how long the sweep is silent.

    One thread at a time: a database that hangs must not take all of the server's, one a scrape.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give what can be had; loops are left out where the database does not answer."""
        silent = dispatch.seconds_since_heartbeat()
        if silent is not None:
            yield GaugeMetricFamily(
                "handrail_sweep_age_seconds",
                "How long ago this process has last looked for wanted turns.",
                value=silent,
            )
        counts = self._counts()
        yield GaugeMetricFamily(
            "handrail_database_up",
            "Whether the database has answered this scrape.",
            value=int(counts is not None),
        )
        if counts is not None:
            loops = GaugeMetricFamily(
                "handrail_loops",
                "Loops of all processes, by the database; as in the console.",
                labels=["state"],
            )
            for state, number in counts.items():
                loops.add_metric([state], number)
            yield loops

    def _counts(self) -> dict[str, int] | None:
        if not self._asking.acquire(timeout=WAIT_SECONDS):
            return None
        try:
            return loops_count()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Loops not counted: %s", error)
            return None
        finally:
            self._asking.release()


def metrics_begin() -> None:
    """Make this process's telemetry whole: what runs here, and what the database knows."""
    telemetry.process_described(
        version=version(), python=platform.python_version(), model=settings.LLM_MODEL
    )
    telemetry.registry.register(LoopCollector())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Give all metrics as text, to whoever has the token; without METRICS_TOKEN there are none."""
    token = settings.METRICS_TOKEN
    if not token:
        raise Http404
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # In constant time: how long it takes must not tell how much of it was right.
    is_right = hmac.compare_digest(given.strip().encode(), token.encode())
    if not is_right or scheme.lower() != "bearer":
        return HttpResponse(
            _NOBODY,
            content_type="text/plain",
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"},
        )
    return HttpResponse(
        generate_latest(telemetry.registry),
        content_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )
