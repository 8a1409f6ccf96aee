"""Deletes what is old, by the own delete of the service, in bounded batches; removes no row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from conversations.models import Conversation, LoopLease
from conversations.models.conversation import ConversationQuerySet
from conversations.models.loop_lease import among
from conversations.services.conversations import conversation_delete_if_old
from conversations.services.transactions import write_transaction

#: Conversations that one query reads.
PAGE = 500
#: Conversations that one transaction deletes: other writers wait for it on SQLite.
BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Which conversations are meant: those that nothing was added to since `before`."""

    before: datetime
    #: Of one owner only.
    owner_id: int | None = None
    #: In this agent state only.
    state: str = ""
    even_running: bool = False

    def rows(self) -> ConversationQuerySet:
        """Give those that there are now."""
        rows = Conversation.objects.alive().filter(last_updated_at__lt=self.before)
        if self.owner_id is not None:
            rows = rows.filter(owner_id=self.owner_id)
        if self.state:
            rows = rows.filter(agent_state=self.state)
        return rows if self.even_running else rows.filter(~Q(among(LoopLease.objects.in_use())))


@dataclass(frozen=True, slots=True)
class Old:
    """A conversation that is old enough."""

    conversation_id: UUID
    owner: str
    state: str
    last_updated_at: datetime


def old_conversations(purge: Purge) -> Iterator[list[Old]]:
    """Give what is meant, batch by batch, each conversation once.

    By the primary key, so that all batches together read the table once.
    """
    columns = ("pk", "owner__username", "agent_state", "last_updated_at")
    page = purge.rows().order_by("pk").values_list(*columns)
    found = [Old(*values) for values in page[:PAGE]]
    while found:
        for start in range(0, len(found), BATCH):
            yield found[start : start + BATCH]
        found = [Old(*v) for v in page.filter(pk__gt=found[-1].conversation_id)[:PAGE]]


def batch_delete(purge: Purge, batch: list[Old]) -> list[Old]:
    """Delete one batch in one transaction; give those that were deleted.

    What was written to, or began to run, since it was read is kept.
    """
    with write_transaction():
        return [
            old
            for old in batch
            if conversation_delete_if_old(
                conversation_id=old.conversation_id,
                before=purge.before,
                even_running=purge.even_running,
            )
        ]
