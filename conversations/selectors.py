"""Reads: what lists, details, streams and sweeps ask of the tables. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from conversations.events.actions import ACTIONS
from conversations.events.codec import EventRow
from conversations.models import Control, Conversation, EventRecord, LoopLease
from conversations.models.loop_lease import is_running

if TYPE_CHECKING:
    from settings_app.models import User

#: Rows that one query reads from a log.
CHUNK = 100
_EXECUTABLE = frozenset(kind for kind, cls in ACTIONS.items() if cls.executable)
_ITEM_COLUMNS = (
    "id",
    "title",
    "selected_repository",
    "created_at",
    "last_updated_at",
)


def conversation_get(*, user: User, conversation_id: UUID | None) -> Conversation | None:
    """Give a conversation of this user, without its recording; None where he has none such."""
    if conversation_id is None:
        return None
    rows = Conversation.objects.visible_to(user).defer("replay")
    return rows.filter(pk=conversation_id).first()


def _item(row: dict[str, Any]) -> dict[str, Any]:
    """Give a conversation as lists and details show it (CONTRACT section 4)."""
    conversation_id: UUID = row["id"]
    return {
        "conversation_id": conversation_id.hex,
        "title": row["title"] or f"Conversation {conversation_id.hex[:5]}",
        "selected_repository": row["selected_repository"] or None,
        "created_at": row["created_at"].isoformat(),
        "last_updated_at": row["last_updated_at"].isoformat(),
        "status": "RUNNING" if row["running"] else "STOPPED",
    }


def conversation_item(*, user: User, conversation_id: UUID) -> dict[str, Any] | None:
    """Give one item, however old; None where this user has none such. One query."""
    rows = Conversation.objects.visible_to(user).filter(pk=conversation_id)
    row = rows.annotate(running=is_running()).values(*_ITEM_COLUMNS, "running").first()
    return _item(row) if row else None


def conversation_items(*, user: User, limit: int) -> list[dict[str, Any]]:
    """Give the newest items that are not over age. One query."""
    youngest = timezone.now() - timedelta(seconds=settings.CONVERSATION_MAX_AGE_SECONDS)
    rows = (
        Conversation.objects.visible_to(user)
        .filter(created_at__gt=youngest)
        .order_by("-created_at", "-id")
        .annotate(running=is_running())
        .values(*_ITEM_COLUMNS, "running")[:limit]
    )
    return [_item(row) for row in rows]


def event_rows(*, conversation_id: UUID, after: int = -1, limit: int = CHUNK) -> list[EventRow]:
    """Give the next stored events above `after`, in order, at most `limit`."""
    records = EventRecord.objects.filter(
        conversation_id=conversation_id, event_id__gt=after
    ).order_by("event_id")
    return [record.to_row() for record in records[:limit]]


def all_event_rows(*, conversation_id: UUID) -> Iterator[EventRow]:
    """Give every stored event in order, a chunk at a time."""
    after = -1
    while rows := event_rows(conversation_id=conversation_id, after=after):
        yield from rows
        after = rows[-1].event_id


def unsettled_action_ids(conversation_id: UUID) -> list[int]:
    """Give the executable actions without an observation, in order. Reads all ids of the log."""
    open_actions: dict[int, None] = {}
    rows = EventRecord.objects.filter(conversation_id=conversation_id).order_by("event_id")
    for event_id, action, cause in rows.values_list("event_id", "action", "cause"):
        if action in _EXECUTABLE:
            open_actions[event_id] = None
        if cause is not None:
            open_actions.pop(cause, None)
    return list(open_actions)


def wanted_conversations(*, limit: int) -> list[UUID]:
    """Give conversations whose turn is wanted and run by nobody, the longest waiting first.

    Those of users who run as many turns as they may are left out: they would hide the others.
    """
    busy_owners = (
        LoopLease.objects.live()
        .values("conversation__owner")
        .annotate(turns=Count("pk"))
        .filter(turns__gte=settings.MAX_CONCURRENT_CONVERSATIONS)
        .values("conversation__owner")
    )
    wanted = (
        LoopLease.objects.wanted()
        .filter(conversation__deleted_at__isnull=True)
        .exclude(conversation__owner__in=busy_owners, control=Control.NONE)
        .order_by("conversation__last_updated_at")
    )
    return list(wanted.values_list("conversation_id", flat=True)[:limit])


@dataclass(frozen=True, slots=True)
class Pulse:
    """The columns whose change a stream or a runner has to know of."""

    last_event_id: int
    deleted: bool
    control: str
    control_epoch: int


def pulses(conversation_ids: Sequence[UUID]) -> dict[UUID, Pulse]:
    """Give the pulse of each conversation that still has rows. One query."""
    rows = Conversation.objects.filter(pk__in=conversation_ids).values_list(
        "pk", "last_event_id", "deleted_at", "lease__control", "lease__control_epoch"
    )
    return {
        pk: Pulse(last_event_id, deleted_at is not None, control or "", control_epoch or 0)
        for pk, last_event_id, deleted_at, control, control_epoch in rows
    }
