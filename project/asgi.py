"""The server's one ASGI application: guard, Socket.IO, Django, and the executor in its lifespan."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import socketio
import structlog
from a2wsgi import WSGIMiddleware
from django.conf import settings

# Sets Django up, so it has to come before everything that knows a table.
from project.wsgi import application as django_application

# isort: split
from conversations.agent.litellm_client import clients_close
from conversations.bus import get_bus
from conversations.executors.in_process import InProcessExecutor
from conversations.services.sweep_runs import process_name
from conversations.services.titles import TitleMaker
from conversations.stream.server import LOGIN_SECONDS, Stream
from conversations.stream.transport import Transports
from project.guard import Guard
from project.llms import llm_for
from project.metrics import metrics_begin
from project.postgresql.base import process_serves
from project.probes import THREADS, Probes
from project.proxies import TrustedProxies
from project.request_metrics import RequestMetrics
from project.server_environment import environment_narrow
from project.turns import aside_threads_set, turn_resources, warm_up_later

if TYPE_CHECKING:
    from conversations.executors.turn_queue import TurnQueue

log = structlog.get_logger(__name__)


class _Lifespan:
    """What starts with the server and ends with it."""

    def __init__(self) -> None:
        self._titles = TitleMaker(llm_for=llm_for)
        self._executor: InProcessExecutor | TurnQueue | None = None
        self._warm_up: asyncio.TimerHandle | None = None

    async def _make_executor(self) -> InProcessExecutor | TurnQueue:
        if settings.EXECUTOR == "procrastinate":
            # Only where it is used: its library takes a while to load.
            from conversations.executors.turn_queue import TurnQueue

            return TurnQueue(process=process_name())
        resources = turn_resources(self._titles)
        await asyncio.to_thread(resources.runtimes.check)
        return InProcessExecutor(resources)

    async def start(self) -> None:
        """Run what is wanted, or look after the listeners where workers run it."""
        try:
            await self._start()
        except Exception:
            # Socket.IO's application tells the server that it has failed, and nobody why.
            log.exception("start_failed")
            raise

    async def _start(self) -> None:
        aside_threads_set()
        self._executor = await self._make_executor()
        self._warm_up = warm_up_later()
        await self._titles.start()
        await get_bus().start()
        await self._executor.start()
        # What is loaded by now stays: no collection need walk it again, and hold up a request.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """End what runs; it goes on where the next process starts."""
        if self._warm_up is not None:
            self._warm_up.cancel()
        try:
            if self._executor is not None:
                await self._executor.stop()
        finally:
            await get_bus().stop()
            await self._titles.stop()
            await clients_close()


if settings.AUTH_MODE == "accounts":
    environment_narrow()
process_serves("web")
metrics_begin()
_lifespan = _Lifespan()
_sockets_and_requests = Transports(
    socketio.ASGIApp(
        Stream().sio,
        other_asgi_app=Probes(
            WSGIMiddleware(django_application, workers=settings.WEB_THREADS),
            probes=WSGIMiddleware(django_application, workers=THREADS),
        ),
        on_startup=_lifespan.start,
        on_shutdown=_lifespan.stop,
    ),
    seconds=LOGIN_SECONDS,
)
application = RequestMetrics(
    Guard(
        TrustedProxies(_sockets_and_requests, networks=settings.TRUSTED_PROXIES),
        allowed_hosts=settings.ALLOWED_HOSTS,
        local_mode=settings.AUTH_MODE == "local",
    )
)
