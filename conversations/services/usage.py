"""Counts answers of LLMs and failed turns, with the statement that stores them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from conversations.agent.llm import Usage
from conversations.events.base import NewEvent
from conversations.events.observations import AgentStateChangedObservation
from conversations.events.states import AgentState
from conversations.services.append_sql import Insert, rows_append

_FAILED = frozenset({AgentState.ERROR, AgentState.RATE_LIMITED})
_REASON_LENGTH = 255
# A day's first answer makes the row: whose answer that is does not matter. (SQLite takes the
# ON of a conflict for a join's without the WHERE.)
_DAILY_USAGE: Final = """INSERT INTO conversations_dailyusage AS day_row
    (user_id, day, cost, prompt_tokens, completion_tokens)
SELECT owner_id, %s, %s, %s, %s FROM taken WHERE TRUE
ON CONFLICT (user_id, day) DO UPDATE SET
    cost = day_row.cost + excluded.cost,
    prompt_tokens = day_row.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = day_row.completion_tokens + excluded.completion_tokens"""
_FAILURE: Final = """INSERT INTO conversations_turnfailure
    (conversation_id, failed_at, state, reason) SELECT id, last_updated_at, %s, %s FROM taken"""


def daily_usage_insert(*, usage: Usage, now: datetime) -> Insert:
    """Count one answer on its user's day.

    Last of its append, behind the conversation's row: so no two ever wait for each other.
    """
    day = connection.ops.adapt_datefield_value(now.date())
    used = (usage.cost or 0.0, usage.prompt_tokens, usage.completion_tokens)
    return Insert(_DAILY_USAGE, (day, *used))


def usage_add(*, conversation_id: UUID, usage: Usage, now: datetime) -> bool:
    """Count an answer that no event tells of. False where the conversation is deleted."""
    daily = daily_usage_insert(usage=usage, now=now)
    return rows_append(conversation_id=conversation_id, usage=usage, inserts=[daily])


def failure_inserts(events: Iterable[NewEvent]) -> list[Insert]:
    """Note each end in an error, for the operators. Mostly there is none."""
    return [
        Insert(_FAILURE, (event.body.agent_state.value, event.body.reason[:_REASON_LENGTH]))
        for event in events
        if isinstance(event.body, AgentStateChangedObservation)
        and event.body.agent_state in _FAILED
    ]
