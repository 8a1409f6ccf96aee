"""Stops many loops at once for an operator, each through the service, and says which have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from conversations.exceptions import ConversationGoneError
from conversations.models import Conversation, LoopLease
from conversations.models.loop_lease import among
from conversations.services.agent_loops import loop_stop_if_any

#: Seconds between two looks, and conversations that one query asks for.
_POLL_SECONDS = 0.2
_BATCH = 500


def loops_in_use(*, idle_since: datetime | None = None) -> list[UUID]:
    """Give the conversations whose loop runs or is wanted, also after the death of its runner.

    With `idle_since` only those whose newest event is older than that.
    """
    rows = Conversation.objects.alive().filter(among(LoopLease.objects.in_use()))
    if idle_since is not None:
        rows = rows.filter(last_updated_at__lt=idle_since)
    return list(rows.order_by("last_updated_at").values_list("pk", flat=True))


def loop_ask_to_stop(conversation_id: UUID, *, idle_since: datetime | None = None) -> bool:
    """Ask one loop to stop; False where there was nothing to stop any more."""
    try:
        return loop_stop_if_any(
            conversation=Conversation(pk=conversation_id), idle_since=idle_since
        )
    except ConversationGoneError:
        return False


def loops_wait(ids: Sequence[UUID], *, seconds: float, tell: Callable[[int], None]) -> set[UUID]:
    """Wait until these loops have ended, or so many seconds; give those that have not."""
    deadline = time.monotonic() + seconds
    left = _still(ids)
    while left and time.monotonic() < deadline:
        tell(len(ids) - len(left))
        time.sleep(_POLL_SECONDS)
        left = _still(list(left))
    return left


def _still(ids: Sequence[UUID]) -> set[UUID]:
    left: set[UUID] = set()
    for start in range(0, len(ids), _BATCH):
        rows = LoopLease.objects.in_use().filter(conversation__in=ids[start : start + _BATCH])
        left |= set(rows.filter(conversation__deleted_at=None).values_list("pk", flat=True))
    return left
