"""A worker process: the executor that fetches turns from the queue, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings

from conversations.agent.litellm_client import clients_close
from conversations.bus import get_bus
from conversations.executors.procrastinate import ProcrastinateExecutor
from conversations.services.titles import TitleMaker
from project.llms import llm_for
from project.metrics import metrics_begin
from project.postgresql.base import process_serves
from project.server_environment import environment_narrow
from project.turns import aside_threads_set, turn_resources, warm_up_later
from project.worker_metrics import metrics_served

if TYPE_CHECKING:
    import socket

log = structlog.get_logger(__name__)

#: Seconds beside the grace in which a worker has to end: its database may not answer, a workspace
#: may take long to remove. Below the ten that docs/scaling.md tells supervisors to wait.
END_SECONDS: Final = 9.0


def work(concurrency: int, metrics: socket.socket | None = None) -> None:
    """Run up to `concurrency` turns at once until SIGTERM or SIGINT; give `metrics` there.

    Raises RuntimeUnavailableError where no sandbox can start, WorkerEndedError where it ends though
    nobody told it to.
    """
    if settings.AUTH_MODE == "accounts":
        environment_narrow()
    process_serves("worker")
    with metrics_served(metrics):
        asyncio.run(_work(concurrency))


async def _work(concurrency: int) -> None:
    aside_threads_set()
    ended = asyncio.Event()

    def end() -> None:
        overdue = threading.Timer(settings.WORKER_GRACE_SECONDS + END_SECONDS, _end_now)
        overdue.daemon = True
        overdue.start()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    titles = TitleMaker(llm_for=llm_for)
    resources = turn_resources(titles)
    await asyncio.to_thread(resources.runtimes.check)
    executor = ProcrastinateExecutor(resources, concurrency=concurrency)
    metrics_begin(executor.seconds_since_heartbeat)
    warm_up = warm_up_later()
    await titles.start()
    await get_bus().start()
    try:
        await executor.start()
        gc.collect()
        gc.freeze()
        await _first_of(ended, executor)
    finally:
        warm_up.cancel()
        try:
            await executor.stop()
        finally:
            await get_bus().stop()
            await titles.stop()
            await clients_close()


def _end_now() -> None:
    """End as by kill -9, which loses nothing: the leases run out, and others take over."""
    log.error("end_overdue", after=settings.WORKER_GRACE_SECONDS + END_SECONDS)
    os._exit(1)


async def _first_of(ended: asyncio.Event, executor: ProcrastinateExecutor) -> None:
    """Wait for the signal; raise what ended the worker, where that comes first."""
    signalled = asyncio.create_task(ended.wait())
    working = asyncio.create_task(executor.wait())
    try:
        await asyncio.wait({signalled, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        signalled.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
