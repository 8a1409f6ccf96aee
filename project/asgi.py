"""The server's one ASGI application: guard, Socket.IO, Django, and the executor in its lifespan."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading

import socketio
import structlog
from a2wsgi import WSGIMiddleware
from django.conf import settings

# Sets Django up, so it has to come before everything that knows a table.
from project.wsgi import application as django_application

# isort: split
from conversations.agent.litellm_client import clients_close, warm_up
from conversations.bus import get_bus
from conversations.executors.in_process import InProcessExecutor
from conversations.runtime.local import LocalRuntimeProvider
from conversations.services.lease_keeper import LeaseKeeper
from conversations.services.titles import TitleMaker
from conversations.services.turns import TurnResources
from conversations.stream.server import LOGIN_SECONDS, Stream
from conversations.stream.transport import Transports
from project.guard import Guard
from project.llms import llm_for
from project.metrics import metrics_begin
from project.proxies import TrustedProxies
from project.request_metrics import RequestMetrics
from project.server_environment import environment_narrow

log = structlog.get_logger(__name__)

#: Requests that Django handles at once: a slow one must not hold up the others.
WSGI_THREADS = 32
#: When the LLM library is loaded where nobody asked for it yet: it takes seconds of CPU, which a
#: start leaves to those who wait for it.
WARM_UP_AFTER_SECONDS = 10.0


def _resources(titles: TitleMaker) -> TurnResources:
    return TurnResources(
        runtimes=LocalRuntimeProvider(
            command_timeout=settings.SANDBOX_TIMEOUT,
            close_delay=settings.SANDBOX_CLOSE_DELAY,
            network=settings.SANDBOX_NETWORK,
        ),
        llm_for=llm_for,
        titles=titles,
        keeper=LeaseKeeper(),
        process=f"{socket.gethostname()[:64]}:{os.getpid()}",
    )


class _Lifespan:
    """What starts with the server and ends with it."""

    def __init__(self) -> None:
        self._titles = TitleMaker(llm_for=llm_for)
        self._executor: InProcessExecutor | None = None
        self._warm_up: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Run what is wanted; soon load the LLM library aside, so that the first task need not."""
        try:
            await self._start()
        except Exception:
            # Socket.IO's application tells the server that it has failed, and nobody why.
            log.exception("start_failed")
            raise

    async def _start(self) -> None:
        resources = _resources(self._titles)
        await asyncio.to_thread(resources.runtimes.check)
        loading = threading.Thread(target=warm_up, name="litellm-warm-up", daemon=True)
        self._warm_up = asyncio.get_running_loop().call_later(WARM_UP_AFTER_SECONDS, loading.start)
        await self._titles.start()
        await get_bus().start()
        self._executor = InProcessExecutor(resources)
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
metrics_begin()
_lifespan = _Lifespan()
_sockets_and_requests = Transports(
    socketio.ASGIApp(
        Stream().sio,
        other_asgi_app=WSGIMiddleware(django_application, workers=WSGI_THREADS),
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
