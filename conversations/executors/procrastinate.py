"""Runs queued turns in a worker process: Procrastinate fetches jobs, services.turns runs them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from procrastinate import App
from procrastinate.contrib.django import connector_params
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import JobContext
from procrastinate.jobs import DeleteJobCondition, Status
from procrastinate.psycopg_connector import PsycopgConnector
from procrastinate.worker import Worker

from conversations.exceptions import HandrailError
from conversations.executors.runner import STOP_SECONDS, Runner
from conversations.executors.turn_queue import (
    QUEUE,
    TASK,
    queue_analyze,
    turns_enqueue_missing,
    worker_beat,
)
from conversations.services.transactions import in_db_thread
from conversations.services.turns import TurnResources

log = structlog.get_logger(__name__)

#: How operators find the connections in pg_stat_activity; the process id follows.
APPLICATION_NAME: Final = "handrail-queue"
#: Connections of the queue besides the one that listens, and seconds to wait for one.
CONNECTIONS: Final = 2
CONNECTION_SECONDS: Final = 5.0
#: Seconds between two looks at the queue: a job that nobody told of waits no longer.
LOOK_SECONDS: Final = 1.0
#: Turns that wait when the planner has to be told, and how often it is: the queue is mostly empty,
#: and by a plan for an empty one it takes half a second to find a job among twenty thousand.
CROWD: Final = 100
ANALYZE_SECONDS: Final = 30.0


class WorkerEndedError(HandrailError):
    """The worker has ended, and nobody told it to: its log says why."""

    code = "worker_ended"


class TurnWorker(Worker):
    """Procrastinate's worker, made to outlive its database and to beat until its last job ends.

    Its own heartbeat ends with SIGTERM, before its jobs do, and hangs where the event loop does:
    other workers would take its jobs. `worker_beat` is called on the lease keeper's thread instead.
    """

    _needs_id = False

    def beat(self) -> None:
        """Say that this worker lives. From the lease keeper's thread."""
        if self.worker_id is not None:
            worker_beat(self.worker_id)

    def _start_side_tasks(self) -> list[asyncio.Task[Any]]:
        # Not the original's: one of them that fails, as all do while the database is away, ends
        # the worker. Nothing is periodic here and nothing is aborted by way of the queue.
        return [asyncio.create_task(self._listen(), name="listener")]

    async def _listen(self) -> None:
        while True:
            try:
                await self.app.job_manager.listen_for_jobs(
                    on_notification=self._handle_notification, queues=self.queues
                )
            except ConnectorException as error:
                log.warning("queue_not_heard", error=_why(error))
            except Exception:
                # Whatever somebody sends on the channel must not end the worker.
                log.exception("queue_not_heard")
            await asyncio.sleep(LOOK_SECONDS)

    async def _fetch_and_process_jobs(self) -> None:
        try:
            if self._needs_id:
                self.worker_id = await self.app.job_manager.register_worker()
                self._needs_id = False
            await super()._fetch_and_process_jobs()  # type: ignore[no-untyped-call]
        except ConnectorException as error:
            log.warning("no_job_fetched", error=_why(error))
            # A job may have been given to us without our hearing of it: it would stay ours for as
            # long as we live. Or others have struck us off, for we were frozen for long. Under a
            # new id the old one's jobs count as stalled, and the sweep drops them.
            self._needs_id = True

    async def _process_job(self, context: JobContext) -> None:
        try:
            await super()._process_job(context)
        except ConnectorException as error:
            # Either others have dropped the job, or it stays behind as ours, for ever: under a new
            # id of ours it counts as stalled, and the sweep drops it.
            log.warning("job_end_not_stored", job=context.job.id, error=_why(error))
            self._needs_id = True
        finally:
            # A message may have come when this job's last look was over: its job waits for our lock
            # and nobody else tells of it.
            self._new_job_event.set()


class ProcrastinateExecutor:
    """Fetches queued turns and runs up to `concurrency` at once, until it is stopped."""

    def __init__(
        self,
        resources: TurnResources,
        *,
        concurrency: int,
        look_seconds: float = LOOK_SECONDS,
        crowd: int = CROWD,
    ) -> None:
        self._crowd = crowd
        self._analyzed_at = float("-inf")
        self._runner = Runner(resources, take_up=self._take_up)
        self._app = App(
            connector=PsycopgConnector(
                kwargs={
                    **connector_params(),
                    "application_name": f"{APPLICATION_NAME}:{os.getpid()}",
                },
                min_size=1,
                max_size=CONNECTIONS,
                timeout=CONNECTION_SECONDS,
            )
        )
        self._app.task(name=TASK, queue=QUEUE)(self._turns)
        self._worker = TurnWorker(
            self._app,
            queues=[QUEUE],
            concurrency=concurrency,
            fetch_job_polling_interval=look_seconds,
            stalled_worker_timeout=10 * settings.LEASE_SECONDS,
            # They would pile up, and what happened is in the conversation's log.
            delete_jobs=DeleteJobCondition.ALWAYS,
            install_signal_handlers=False,
        )
        self._working: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to run turns. Raises WorkerEndedError where the database does not answer."""
        try:
            await self._app.open_async()
        except ConnectorException as error:
            raise WorkerEndedError(_why(error)) from error
        self._runner.resources.keeper.also(self._worker.beat)
        self._runner.start()
        self._working = asyncio.create_task(self._worker.run())  # type: ignore[no-untyped-call]

    async def wait(self) -> None:
        """Wait for as long as the worker works. Raises WorkerEndedError when it ends by itself."""
        assert self._working is not None
        try:
            await asyncio.shield(self._working)
        except ConnectorException as error:
            raise WorkerEndedError(_why(error)) from error
        raise WorkerEndedError

    async def stop(self) -> None:
        """Run no more turns; those under way hand their leases back for another worker."""
        self._worker.stop()  # type: ignore[no-untyped-call]
        await self._runner.drain(seconds=settings.WORKER_GRACE_SECONDS)
        if self._working is not None:
            await asyncio.wait({self._working}, timeout=STOP_SECONDS)
            self._working.cancel()
            await asyncio.wait({self._working}, timeout=STOP_SECONDS)
            if self._working.done() and not self._working.cancelled():
                # It does not matter any more; not asked for, it would be a traceback.
                self._working.exception()
        # Only now: the heartbeat has to last until the last job's end is stored.
        await self._runner.stop()
        await self._app.close_async()

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago the sweep has ended a round."""
        return self._runner.seconds_since_heartbeat()

    async def _turns(self, conversation_id: str) -> None:
        """Run turns of a conversation while they are wanted: the job."""
        while await self._runner.turn(UUID(hex=conversation_id)):
            pass

    async def _take_up(self, conversation_ids: Sequence[UUID]) -> None:
        """Make the queue agree with what is wanted; it is not the truth, the leases are."""
        await self._drop_stalled()
        if conversation_ids:
            await in_db_thread(turns_enqueue_missing, conversation_ids)
        now = time.monotonic()
        if len(conversation_ids) >= self._crowd and now - self._analyzed_at > ANALYZE_SECONDS:
            self._analyzed_at = now
            await in_db_thread(queue_analyze)

    async def _drop_stalled(self) -> None:
        """Drop the jobs of workers that have died; what is wanted of them is enqueued anew.

        Never given to another worker as they are: one that was frozen would wake up and mark the
        other one's job as done.
        """
        jobs = self._app.job_manager
        try:
            stalled = await jobs.get_stalled_jobs(
                queue=QUEUE, seconds_since_heartbeat=settings.LEASE_SECONDS
            )
            for job in stalled:
                assert job.id is not None
                await jobs.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)
                log.warning("stalled_job_dropped", conversation=job.lock)
        except ConnectorException as error:
            # The database is away, or another worker was faster; the next round looks again.
            log.warning("stalled_jobs_not_dropped", error=_why(error))


def _why(error: ConnectorException) -> str:
    return " ".join(str(error.__cause__ or error).split())
