"""What is left to do after a delete, tried until it is done: workspace first, rows last."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

import structlog

from conversations.models import Conversation, LoopLease
from conversations.services.transactions import write_transaction
from conversations.services.workspaces import WorkspaceNotRemovedError, workspace_remove

log = structlog.get_logger(__name__)

#: Deleted conversations that one round takes.
BATCH = 50


def deleted_conversations(*, apart_from: Collection[UUID] = ()) -> list[UUID]:
    """Give tombstones that nobody runs any more, the oldest first, a batch at a time."""
    running = LoopLease.objects.live().values("conversation_id")
    tombstones = Conversation.objects.filter(deleted_at__isnull=False).exclude(pk__in=running)
    rows = tombstones.exclude(pk__in=apart_from).order_by("deleted_at")
    return list(rows.values_list("pk", flat=True)[:BATCH])


def tombstones() -> Iterator[UUID]:
    """Give every tombstone that nobody runs any more, once, a batch in memory at a time."""
    running = LoopLease.objects.live().values("conversation_id")
    rows = Conversation.objects.filter(deleted_at__isnull=False).exclude(pk__in=running)
    page = rows.order_by("pk").values_list("pk", flat=True)
    batch = list(page[:BATCH])
    while batch:
        yield from batch
        batch = list(page.filter(pk__gt=batch[-1])[:BATCH])


def tombstone_clear(conversation_id: UUID) -> bool:
    """Remove all that is left of a deleted conversation; False when that has to be tried again.

    For a process beside which no server has its sandbox open.
    """
    if not workspace_clear(conversation_id):
        return False
    tombstone_remove(conversation_id)
    return True


def workspace_clear(conversation_id: UUID) -> bool:
    """Remove the workspace of a deleted conversation; False when that has to be tried again.

    It may take a while and asks no database: call it on a thread.
    """
    try:
        workspace_remove(conversation_id)
    except WorkspaceNotRemovedError as error:
        log.warning("workspace_not_removed", conversation=conversation_id.hex, error=str(error))
        return False
    return True


def tombstone_remove(conversation_id: UUID) -> None:
    """Remove the rows of a deleted conversation, when everything else of it is gone.

    Last of all: a crash in between is made good by the next round.
    """
    with write_transaction():
        Conversation.objects.filter(pk=conversation_id, deleted_at__isnull=False).delete()
