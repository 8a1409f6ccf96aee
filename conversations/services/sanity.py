"""Checks the invariants on the stored data, beside a running service. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.utils import timezone

from conversations.events.codec import EventRow
from conversations.models import Conversation
from conversations.services.sanity_fold import Columns, Finding, Sanity

#: Conversations that one query reads, and rows that are in memory at a time.
BATCH, CHUNK = 100, 500
_OWN = (
    "last_event_id",
    "epoch",
    "agent_state",
    "accumulated_cost",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "deleted_at",
)
_LEASE = ("requested", "served", "holder", "lease_expires_at")
_EVENT = ("event_id", "timestamp", "source", "action", "observation", "cause", "payload")
_COLUMNS = (*_OWN, *_LEASE)
_FIRST_OF_EVENT = 1 + len(_COLUMNS)


def conversations_check(
    ids: Sequence[UUID] | None = None,
) -> Iterator[tuple[UUID, list[Finding]]]:
    """Check the named conversations, or all; give each with what does not hold.

    A finding is told when a second look finds it too.
    """
    for batch in _batches(ids):
        for pk, findings in _read(batch):
            yield pk, _again(pk, findings) if findings else findings


def _again(pk: UUID, before: list[Finding]) -> list[Finding]:
    """Look once more; keep what was found before."""
    known = {(finding.kind, finding.event_id) for finding in before}
    return [
        finding
        for _, findings in _read([pk])
        for finding in findings
        if (finding.kind, finding.event_id) in known
    ]


def _batches(ids: Sequence[UUID] | None) -> Iterator[list[UUID]]:
    if ids is not None:
        for start in range(0, len(ids), BATCH):
            yield list(ids[start : start + BATCH])
        return
    page = Conversation.objects.order_by("pk").values_list("pk", flat=True)
    batch = list(page[:BATCH])
    while batch:
        yield batch
        batch = list(page.filter(pk__gt=batch[-1])[:BATCH])


def _read(ids: list[UUID]) -> Iterator[tuple[UUID, list[Finding]]]:
    """Check some conversations, in one statement: what it sees belongs together.

    A transaction of several would hold up every writer on SQLite, where all begin as writers.
    """
    rows = (
        Conversation.objects.filter(pk__in=ids)
        .order_by("pk", "eventrecord__event_id")
        .values_list(
            "pk",
            *_OWN,
            *(f"lease__{name}" for name in _LEASE),
            *(f"eventrecord__{name}" for name in _EVENT),
        )
        .iterator(chunk_size=CHUNK)
    )
    for pk, own in groupby(rows, key=itemgetter(0)):
        yield pk, _judge(own)


def _judge(rows: Iterator[tuple[Any, ...]]) -> list[Finding]:
    sanity: Sanity | None = None
    for row in rows:
        if sanity is None:
            columns = dict(zip(_COLUMNS, row[1:_FIRST_OF_EVENT], strict=True))
            sanity = Sanity(Columns(**columns))
        event = row[_FIRST_OF_EVENT:]
        # Without any event the join gives one row of nothing.
        if event[0] is not None:
            sanity.take(EventRow(**dict(zip(_EVENT, event, strict=True))))
    return sanity.end(timezone.now()) if sanity else []
