"""The only door into the log: one transaction that numbers, fences, stores and announces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from conversations.agent.llm import Usage
from conversations.bus import get_bus
from conversations.events.base import Action, NewEvent
from conversations.events.cleaning import clean, maskable
from conversations.events.codec import EventRow, payload_of
from conversations.events.observations import AgentStateChangedObservation
from conversations.exceptions import ConversationGoneError, FencedError, LogMovedError
from conversations.models import Conversation, EventRecord
from conversations.services.append_sql import Insert, rows_append
from conversations.services.usage import daily_usage_insert, failure_inserts
from conversations.telemetry import telemetry

# What `rows_append` calls `taken` is the conversation's row. Both databases name the columns of
# VALUES so. The type of a cause is said: where all are null, PostgreSQL would take it for a text.
_EVENTS: Final = """INSERT INTO conversations_eventrecord
    (conversation_id, event_id, timestamp, source, action, observation, cause, payload)
SELECT id, last_event_id + column1, last_updated_at, column2, column3, column4, column5, column6
FROM taken, (VALUES {}) AS event"""
_EVENT_VALUES: Final = "(%s, %s, %s, %s, CAST(%s AS bigint), %s)"


def event_append(
    *,
    conversation_id: UUID,
    events: Sequence[NewEvent],
    epoch: int | None = None,
    only_if_last: int | None = None,
    usage: Usage | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Store events under the next numbers and announce them after the commit.

    A loop names its `epoch`; a user's append names none. With `only_if_last` nothing is stored
    unless that is still the newest id. `secrets` are masked at any depth.

    Raises ConversationGoneError, FencedError or LogMovedError; then nothing was stored.
    """
    now = timezone.now()
    inserts = [_events_insert(events, maskable(secrets)), *failure_inserts(events)]
    if usage is not None:
        # Last: behind the conversation's row no two transactions wait for each other.
        inserts.append(daily_usage_insert(usage=usage, now=now))
    bus = get_bus()
    # Inside a caller's transaction nothing can be sent behind the commit.
    call = None if connection.in_atomic_block else bus.call(conversation_id)
    stored = rows_append(
        conversation_id=conversation_id,
        count=len(events),
        now=now,
        agent_state=_agent_state(events),
        usage=usage,
        epoch=epoch,
        only_if_last=only_if_last,
        inserts=inserts,
        call=call,
    )
    if not stored:
        raise _refusal(conversation_id, epoch)
    transaction.on_commit(partial(bus.publish if call is None else bus.wake, conversation_id))
    transaction.on_commit(partial(telemetry.events_appended, events))


def _events_insert(events: Sequence[NewEvent], secrets: tuple[str, ...]) -> Insert:
    """Give the rows of events: the newest gets `last_event_id`, those before it the ones below."""
    rows = [
        (number - len(events), *_columns(event, secrets))
        for number, event in enumerate(events, start=1)
    ]
    values = ", ".join([_EVENT_VALUES] * len(rows))
    return Insert(_EVENTS.format(values), [value for row in rows for value in row])


def log_begin(
    *, conversation: Conversation, events: Sequence[NewEvent], secrets: Iterable[str] = ()
) -> None:
    """Store a new conversation with its first events, inside the transaction that makes it.

    Nobody else knows it yet, so its numbers need no lock and nobody has to be told.
    """
    conversation.last_event_id = len(events) - 1
    conversation.agent_state = _agent_state(events) or conversation.agent_state
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
    conversation.agent_state = _agent_state(closing) or conversation.agent_state
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


def _agent_state(events: Sequence[NewEvent]) -> str | None:
    """Give the state that the conversation is in after these events; None: as it was."""
    states = (event.body for event in reversed(events))
    found = (body for body in states if isinstance(body, AgentStateChangedObservation))
    return next((body.agent_state.value for body in found), None)


def _refusal(conversation_id: UUID, epoch: int | None) -> Exception:
    row = Conversation.objects.alive().filter(pk=conversation_id).values_list("epoch", flat=True)
    current = row.first()
    if current is None:
        return ConversationGoneError()
    if epoch is not None and current != epoch:
        return FencedError()
    return LogMovedError()


def _columns(event: NewEvent, secrets: tuple[str, ...]) -> tuple[Any, ...]:
    """Give an event's own columns, as the database takes them."""
    is_action = isinstance(event.body, Action)
    payload = clean(payload_of(event), secrets)
    return (
        event.source.value,
        event.body.kind if is_action else "",
        "" if is_action else event.body.kind,
        event.cause,
        connection.ops.adapt_json_value(payload, None),
    )


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
