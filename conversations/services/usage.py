"""Counts answers of LLMs and failed turns, inside the transaction that stores them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from conversations.agent.llm import Usage
from conversations.events.base import NewEvent
from conversations.events.observations import AgentStateChangedObservation
from conversations.events.states import AgentState
from conversations.models import DailyUsage, TurnFailure

_FAILED = frozenset({AgentState.ERROR, AgentState.RATE_LIMITED})
_REASON_LENGTH = 255


def usage_columns(usage: Usage) -> dict[str, Any]:
    """Give the update that counts one answer of an LLM on a conversation's row."""
    total = usage.prompt_tokens + usage.completion_tokens
    return {
        "accumulated_cost": F("accumulated_cost") + (usage.cost or 0.0),
        "prompt_tokens": F("prompt_tokens") + usage.prompt_tokens,
        "completion_tokens": F("completion_tokens") + usage.completion_tokens,
        "total_tokens": F("total_tokens") + total,
    }


def daily_usage_add(*, user_id: int, usage: Usage, now: datetime) -> None:
    """Count one answer on its user's day; one statement, two more on a day's first answer.

    Last in its transaction, behind the conversation's row: so no two ever wait for each other.
    """
    day = now.date()
    row = DailyUsage.objects.filter(user_id=user_id, day=day)
    counted = {
        "cost": F("cost") + (usage.cost or 0.0),
        "prompt_tokens": F("prompt_tokens") + usage.prompt_tokens,
        "completion_tokens": F("completion_tokens") + usage.completion_tokens,
    }
    if not row.update(**counted):
        # Another answer may be the first one too: whose row it is does not matter.
        DailyUsage.objects.bulk_create(
            [DailyUsage(user_id=user_id, day=day)], ignore_conflicts=True
        )
        row.update(**counted)


def failures_note(*, conversation_id: UUID, events: Iterable[NewEvent], now: datetime) -> None:
    """Note each end in an error, for the operators. Mostly there is none, and no statement."""
    failed = [
        TurnFailure(
            conversation_id=conversation_id,
            failed_at=now,
            state=event.body.agent_state.value,
            reason=event.body.reason[:_REASON_LENGTH],
        )
        for event in events
        if isinstance(event.body, AgentStateChangedObservation)
        and event.body.agent_state in _FAILED
    ]
    if failed:
        TurnFailure.objects.bulk_create(failed)
