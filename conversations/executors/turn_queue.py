"""The queue of wanted turns in PostgreSQL: rows of Procrastinate's, written with Django's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, connections, transaction
from procrastinate import sql
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from conversations import dispatch
from conversations.executors.sweep import Sweep
from conversations.models import Conversation, LoopLease
from conversations.models.loop_lease import among

TASK: Final = "handrail.turn"
QUEUE: Final = "handrail"
#: Each look for a job asks of every other one whether it has the same lock.
_INDEX: Final = """
CREATE INDEX IF NOT EXISTS handrail_jobs_lock ON procrastinate_jobs (lock)
WHERE status IN ('todo', 'doing')
"""
#: By the conditions of two partial indexes.
_HAVE_JOBS: Final = """
SELECT lock FROM procrastinate_jobs
WHERE (status = 'todo' AND queueing_lock = ANY(%s)) OR (status = 'doing' AND lock = ANY(%s))
"""


def turn_enqueue(conversation_id: UUID) -> bool:
    """Enqueue a turn, in the caller's transaction if one is open; False where one waits already.

    One job a conversation waits and one runs: both locks are its id.
    """
    key = conversation_id.hex
    job = app.configure_task(TASK, queue=QUEUE, lock=key, queueing_lock=key)
    try:
        # A savepoint: the refusal of a second job must not end the caller's transaction.
        with transaction.atomic():
            job.defer(conversation_id=key)
    except AlreadyEnqueued:
        return False
    except ConnectorException as error:
        # Whoever called knows Django's errors only.
        message = f"The turn could not be put on the queue: {error.__cause__ or error}"
        raise OperationalError(message) from error
    return True


def _has_room(conversation_id: UUID) -> bool:
    """Whether the owner of a conversation has, beside it, fewer turns in use than slots."""
    slots = settings.MAX_CONCURRENT_CONVERSATIONS
    owner = Conversation.objects.filter(pk=conversation_id).values("owner")
    others = (
        Conversation.objects.alive()
        .filter(among(LoopLease.objects.in_use()), owner__in=owner)
        .exclude(pk=conversation_id)
    )
    return others[:slots].count() < slots


def turns_enqueue_missing(conversation_ids: Sequence[UUID]) -> int:
    """Enqueue those of these wanted turns that have no job; give their number."""
    keys = [conversation_id.hex for conversation_id in conversation_ids]
    with connection.cursor() as cursor:
        cursor.execute(_HAVE_JOBS, [keys, keys])
        found = {row[0] for row in cursor.fetchall()}
    return sum(turn_enqueue(one) for one in conversation_ids if one.hex not in found)


def worker_beat(worker_id: int) -> None:
    """Say that a worker lives. On the thread and the connection that renew its leases."""
    app.connector.get_sync_connector().execute_query(
        query=sql.queries["update_heartbeat"], worker_id=worker_id
    )


def queue_index(using: str) -> None:
    """Give the queue the index that looking for a job's lock needs. Idempotent.

    Where only some applications were migrated, the queue is not there yet.
    """
    with connections[using].cursor() as cursor:
        if "procrastinate_jobs" in connections[using].introspection.table_names(cursor):
            cursor.execute(_INDEX)


def queue_analyze() -> None:
    """Let the planner see how many jobs wait. Some ten milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE procrastinate_jobs")


class TurnQueue:
    """The executor of a process that runs no turns itself: it enqueues them for the workers."""

    def __init__(self, *, process: str = "") -> None:
        # Nothing is taken up here, so it only wakes those whose conversation has changed.
        self._sweep = Sweep(process=process)

    async def start(self) -> None:
        """Look after this process's listeners."""
        dispatch.install(self)
        self._sweep.start()

    async def stop(self) -> None:
        """Look after nobody any more; turns are enqueued as before."""
        await self._sweep.stop()

    def request(self, conversation_id: UUID) -> None:
        """Enqueue a turn in the transaction that makes it wanted.

        Not where its user's slots are taken: a worker would fetch it in vain. The end of one of his
        turns has it enqueued, by the sweep.
        """
        if _has_room(conversation_id):
            turn_enqueue(conversation_id)

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago the listeners of this process were looked after."""
        return self._sweep.seconds_since_heartbeat()
