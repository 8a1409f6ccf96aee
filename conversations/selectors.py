"""Reads: what lists, details, streams and sweeps ask of the tables. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Case, CharField, Count, F, Q, QuerySet, Value, When, Window
from django.db.models.functions import Cast, Coalesce, Concat, Greatest, RowNumber, Substr
from django.utils import timezone

from conversations.events.actions import ACTIONS
from conversations.events.codec import EventRow, event_shows, event_to_wire
from conversations.models import Control, Conversation, EventRecord, LoopLease
from conversations.models.conversation import ConversationQuerySet
from conversations.models.loop_lease import Status, among, is_running

if TYPE_CHECKING:
    from settings_app.models import User

#: Rows that one query reads from a log.
CHUNK = 100
#: Chunks that one search in a log reads at the most.
SEARCH_CHUNKS = 20
#: The place of a conversation in the list: created_at and id, the newest first.
PageKey = tuple[datetime, UUID]
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
        "status": (Status.RUNNING if row["running"] else Status.STOPPED).value,
    }


def conversation_item(*, user: User, conversation_id: UUID) -> dict[str, Any] | None:
    """Give one item, however old; None where this user has none such. One query."""
    rows = Conversation.objects.visible_to(user).filter(pk=conversation_id)
    row = rows.annotate(running=is_running()).values(*_ITEM_COLUMNS, "running").first()
    return _item(row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationFilter:
    """Which conversations of a user are meant; an empty field filters nothing."""

    selected_repository: str = ""
    #: RUNNING or STOPPED.
    status: str = ""
    #: Part of the title as it is shown, in either case (on SQLite: of ASCII letters).
    query: str = ""


ALL: Final = ConversationFilter()


def _listed(user: User, wanted: ConversationFilter) -> ConversationQuerySet:
    youngest = timezone.now() - timedelta(seconds=settings.CONVERSATION_MAX_AGE_SECONDS)
    rows = Conversation.objects.visible_to(user).filter(created_at__gt=youngest)
    if wanted.selected_repository:
        rows = rows.filter(selected_repository=wanted.selected_repository)
    if wanted.status:
        running = among(LoopLease.objects.running())
        rows = rows.filter(running if wanted.status == Status.RUNNING else ~Q(running))
    if wanted.query:
        rows = rows.alias(shown=_shown_title()).filter(shown__icontains=wanted.query)
    return rows


def _shown_title() -> Case:
    """Give the title as lists show it, to search in."""
    number = Substr(Cast("id", CharField()), 1, 5)
    return Case(When(title="", then=Concat(Value("Conversation "), number)), default=F("title"))


def conversation_page(
    *,
    user: User,
    limit: int,
    after: PageKey | None = None,
    wanted: ConversationFilter = ALL,
) -> tuple[list[dict[str, Any]], PageKey | None]:
    """Give the newest items behind `after` that are not over age, and where the next page begins.

    One query, on the index `conversation_newest_first`. The second value is None on the last page.
    """
    rows = _listed(user, wanted).order_by("-created_at", "-id")
    if after is not None:
        created_at, conversation_id = after
        # In this form both databases read one range of the index; the plain OR takes two.
        rows = rows.filter(created_at__lte=created_at).filter(
            Q(created_at__lt=created_at) | Q(id__lt=conversation_id)
        )
    found = list(rows.annotate(running=is_running()).values(*_ITEM_COLUMNS, "running")[: limit + 1])
    items = [_item(row) for row in found[:limit]]
    if len(found) <= limit:
        return items, None
    return items, (found[limit - 1]["created_at"], found[limit - 1]["id"])


def conversation_count(*, user: User, wanted: ConversationFilter = ALL) -> int:
    """Give how many items all pages together hold. One query."""
    return _listed(user, wanted).count()


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


def trajectory_pieces(*, conversation_id: UUID) -> Iterator[bytes]:
    """Give the whole log as JSON, every event with its metadata, a piece at a time."""
    yield b'{"trajectory":['
    separator = b""
    for row in all_event_rows(conversation_id=conversation_id):
        event = event_to_wire(row, with_metadata=True)
        yield separator + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        separator = b","
    yield b"]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events of a log are meant, and in which direction; ids are inclusive."""

    start_id: int
    end_id: int
    reverse: bool = False
    #: A word of the wire, for actions and observations alike; empty for all.
    kind: str = ""
    source: str = ""
    #: Text that an event shows, in either case; empty for all.
    text: str = ""


def event_page(
    *, conversation_id: UUID, wanted: EventFilter, limit: int
) -> tuple[list[EventRow], int | None]:
    """Give at most `limit` events, and the id where the next page begins, None where none does.

    A search for text reads up to 2,000 events; then it gives what it has found so far.
    """
    size = CHUNK if wanted.text else limit + 1
    found: list[EventRow] = []
    for _ in range(SEARCH_CHUNKS):
        chunk = [record.to_row() for record in _filtered(conversation_id, wanted)[: size + 1]]
        for row in chunk[:size]:
            if wanted.text and not event_shows(row, wanted.text):
                continue
            if len(found) == limit:
                return found, row.event_id
            found.append(row)
        if len(chunk) <= size:
            return found, None
        at = chunk[size].event_id
        wanted = replace(wanted, end_id=at) if wanted.reverse else replace(wanted, start_id=at)
    return found, wanted.end_id if wanted.reverse else wanted.start_id


def _filtered(conversation_id: UUID, wanted: EventFilter) -> QuerySet[EventRecord]:
    rows = EventRecord.objects.filter(
        conversation_id=conversation_id,
        event_id__gte=wanted.start_id,
        event_id__lte=wanted.end_id,
    )
    if wanted.kind:
        rows = rows.filter(Q(action=wanted.kind) | Q(observation=wanted.kind))
    if wanted.source:
        rows = rows.filter(source=wanted.source)
    return rows.order_by("-event_id" if wanted.reverse else "event_id")


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

    Of each user only as many as he has slots free: more of them could not be claimed, and would
    hide the others.
    """
    slots = settings.MAX_CONCURRENT_CONVERSATIONS
    turns = LoopLease.objects.live().values("conversation__owner").annotate(turns=Count("pk"))
    full = turns.filter(turns__gte=slots).values("conversation__owner")
    # A turn whose runners die, or can't store, must not come first again and again.
    waiting_since = Greatest("last_updated_at", Coalesce("lease__claimed_at", "last_updated_at"))
    wanted = (
        Conversation.objects.alive()
        .filter(among(LoopLease.objects.wanted()))
        .exclude(owner__in=full, lease__control=Control.NONE)
        .annotate(
            since=waiting_since,
            # What is asked to stop waits for no slot.
            place=Window(
                RowNumber(),
                partition_by=[
                    F("owner"),
                    Case(When(lease__control=Control.NONE, then=0), default=1),
                ],
                order_by=waiting_since.asc(),
            ),
        )
        .filter(place__lte=slots)
        .order_by("since")
    )
    found = list(wanted.values_list("pk", "owner", "lease__control", "place")[:limit])
    # Asked last: a turn that was claimed meanwhile is looked at again, and no slot stays free.
    running = dict(turns.values_list("conversation__owner", "turns"))
    return [
        pk
        for pk, owner, control, place in found
        if control != Control.NONE or place + running.get(owner, 0) <= slots
    ]


@dataclass(frozen=True, slots=True)
class Pulse:
    """The columns whose change a stream or a runner has to know of."""

    last_event_id: int
    deleted: bool
    control: str
    control_epoch: int
    #: Raised by each claim.
    epoch: int
    #: The process and turn that run it; empty when nobody does.
    holder: str


def pulses(conversation_ids: Sequence[UUID]) -> dict[UUID, Pulse]:
    """Give the pulse of each conversation that still has rows. One query."""
    rows = Conversation.objects.filter(pk__in=conversation_ids).values_list(
        "pk",
        "last_event_id",
        "deleted_at",
        "lease__control",
        "lease__control_epoch",
        "epoch",
        "lease__holder",
    )
    return {
        pk: Pulse(
            last, deleted_at is not None, control or "", control_epoch or 0, epoch, holder or ""
        )
        for pk, last, deleted_at, control, control_epoch, epoch, holder in rows
    }
