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
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

#: How long a scrape waits for another one's question to the database.
WAIT_SECONDS: Final = 2.0
NOBODY: Final = "Send the header `Authorization: Bearer …` with METRICS_TOKEN.\n"
NOBODY_HEADERS: Final = {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}


class LoopCollector(Collector):
    """Asks, at each scrape, which loops there are and how long the sweep is silent.

    One thread at a time: a database that hangs must not take all of the server's, one a scrape.
    """

    def __init__(self, heartbeat: Callable[[], float | None]) -> None:
        self._heartbeat = heartbeat
        self._asking = threading.Lock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give what can be had; loops are left out where the database does not answer."""
        silent = self._heartbeat()
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


def metrics_begin(
    heartbeat: Callable[[], float | None] = dispatch.seconds_since_heartbeat,
) -> None:
    """Make this process's telemetry whole: what runs here, and what the database knows."""
    telemetry.process_described(
        version=version(), python=platform.python_version(), model=settings.LLM_MODEL
    )
    telemetry.registry.register(LoopCollector(heartbeat))


def is_scraper(authorization: str) -> bool:
    """Whether this header has the token; it takes as long whatever was right of it."""
    scheme, _, given = authorization.partition(" ")
    is_right = hmac.compare_digest(given.strip().encode(), settings.METRICS_TOKEN.encode())
    return is_right and scheme.lower() == "bearer" and bool(settings.METRICS_TOKEN)


def metrics_text() -> tuple[bytes, str]:
    """Give all metrics, and their content type."""
    return generate_latest(telemetry.registry), CONTENT_TYPE_PLAIN_0_0_4


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Give all metrics as text, to whoever has the token; without METRICS_TOKEN there are none."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not is_scraper(request.headers.get("Authorization", "")):
        return HttpResponse(
            NOBODY,
            content_type="text/plain",
            status=HTTPStatus.UNAUTHORIZED,
            headers=NOBODY_HEADERS,
        )
    text, content_type = metrics_text()
    return HttpResponse(text, content_type=content_type, headers={"Cache-Control": "no-store"})
