"""The only door into the log: one transaction that numbers, fences, stores and announces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from conversations.agent.llm import Usage
from conversations.bus import get_bus
from conversations.events.base import Action, Event, NewEvent
from conversations.events.cleaning import clean, maskable
from conversations.events.codec import EventRow, event_from_row, payload_of
from conversations.events.observations import AgentStateChangedObservation
from conversations.exceptions import ConversationGoneError, FencedError, LogMovedError
from conversations.models import Conversation, EventRecord
from conversations.services.transactions import write_transaction
from conversations.services.usage import daily_usage_add, failures_note, usage_columns
from conversations.telemetry import telemetry


def event_append(
    *,
    conversation_id: UUID,
    events: Sequence[NewEvent],
    epoch: int | None = None,
    only_if_last: int | None = None,
    usage: Usage | None = None,
    secrets: Iterable[str] = (),
) -> list[Event]:
    """Store events under the next numbers and announce them after the commit.

    A loop names its `epoch`; a user's append names none. With `only_if_last` nothing is stored
    unless that is still the newest id. `secrets` are masked at any depth.

    Raises ConversationGoneError, FencedError or LogMovedError; then nothing was stored.
    """
    with write_transaction():
        now = timezone.now()
        rows = Conversation.objects.alive().filter(pk=conversation_id)
        if epoch is not None:
            rows = rows.filter(epoch=epoch)
        if only_if_last is not None:
            rows = rows.filter(last_event_id=only_if_last)
        changed = {"last_event_id": F("last_event_id") + len(events), "last_updated_at": now}
        if not rows.update(**changed, **_projection(events, usage)):
            raise _refusal(conversation_id, epoch)
        # The update has locked the row: the number read now is this transaction's own.
        row = Conversation.objects.values_list("last_event_id", "owner_id")
        last, owner_id = row.get(pk=conversation_id)
        masked = maskable(secrets)
        records = [
            _record(conversation_id, last - len(events) + number, now, event, masked)
            for number, event in enumerate(events, start=1)
        ]
        EventRecord.objects.bulk_create(records)
        failures_note(conversation_id=conversation_id, events=events, now=now)
        if usage is not None:
            daily_usage_add(user_id=owner_id, usage=usage, now=now)
        transaction.on_commit(partial(_announce, conversation_id, events))
    return [event_from_row(record.to_row()) for record in records]


def _announce(conversation_id: UUID, events: Sequence[NewEvent]) -> None:
    get_bus().publish(conversation_id)
    telemetry.events_appended(events)


def log_begin(
    *, conversation: Conversation, events: Sequence[NewEvent], secrets: Iterable[str] = ()
) -> None:
    """Store a new conversation with its first events, inside the transaction that makes it.

    Nobody else knows it yet, so its numbers need no lock and nobody has to be told.
    """
    conversation.last_event_id = len(events) - 1
    for name, value in _projection(events, None).items():
        setattr(conversation, name, value)
    conversation.save(force_insert=True)
    masked = maskable(secrets)
    EventRecord.objects.bulk_create(
        _record(conversation.pk, number, conversation.created_at, event, masked)
        for number, event in enumerate(events)
    )
    transaction.on_commit(partial(telemetry.events_appended, events))


def log_take_over(
    *,
    conversation: Conversation,
    batches: Iterable[Sequence[EventRow]],
    closing: Sequence[NewEvent],
    secrets: Iterable[str],
) -> None:
    """Store a conversation of another server with its log, inside the transaction that makes it.

    The rows come numbered, a batch in memory at a time; `closing` are the events that follow them.
    """
    for name, value in _projection(closing, None).items():
        setattr(conversation, name, value)
    conversation.save(force_insert=True)
    masked, number = maskable(secrets), -1
    for rows in batches:
        EventRecord.objects.bulk_create(
            EventRecord(
                conversation_id=conversation.pk,
                event_id=(number := number + 1),
                timestamp=row.timestamp,
                source=row.source,
                action=row.action,
                observation=row.observation,
                cause=row.cause,
                payload=clean(row.payload, masked),
            )
            for row in rows
        )
    now = timezone.now()
    EventRecord.objects.bulk_create(
        _record(conversation.pk, number, now, event, masked)
        for number, event in enumerate(closing, start=number + 1)
    )


def _projection(events: Sequence[NewEvent], usage: Usage | None) -> dict[str, Any]:
    """Give the conversation's columns that follow from what is stored."""
    columns: dict[str, Any] = {}
    for event in events:
        if isinstance(event.body, AgentStateChangedObservation):
            columns["agent_state"] = event.body.agent_state.value
    return columns if usage is None else columns | usage_columns(usage)


def _refusal(conversation_id: UUID, epoch: int | None) -> Exception:
    row = Conversation.objects.alive().filter(pk=conversation_id).values_list("epoch", flat=True)
    current = row.first()
    if current is None:
        return ConversationGoneError()
    if epoch is not None and current != epoch:
        return FencedError()
    return LogMovedError()


def _record(
    conversation_id: UUID, event_id: int, now: Any, event: NewEvent, secrets: tuple[str, ...]
) -> EventRecord:
    is_action = isinstance(event.body, Action)
    return EventRecord(
        conversation_id=conversation_id,
        event_id=event_id,
        timestamp=now,
        source=event.source.value,
        action=event.body.kind if is_action else "",
        observation="" if is_action else event.body.kind,
        cause=event.cause,
        payload=clean(payload_of(event), secrets),
    )
