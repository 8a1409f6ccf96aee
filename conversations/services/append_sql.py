"""The SQL of an append: one statement on PostgreSQL, a short transaction on SQLite. No events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import Error, connection

from conversations.agent.llm import Usage
from conversations.bus import Call
from conversations.models import Conversation
from conversations.services.transactions import write_transaction

# Numbers, fences and projects at once. It finds the row by its key alone, so that nothing but this
# row is waited for, and judges it anew after a wait.
_TAKE: Final = """UPDATE conversations_conversation SET
    last_event_id = last_event_id + %s,
    last_updated_at = COALESCE(%s, last_updated_at),
    agent_state = COALESCE(%s, agent_state),
    accumulated_cost = accumulated_cost + %s,
    prompt_tokens = prompt_tokens + %s,
    completion_tokens = completion_tokens + %s,
    total_tokens = total_tokens + %s
WHERE id = %s AND deleted_at IS NULL
    AND epoch = COALESCE(%s, epoch) AND last_event_id = COALESCE(%s, last_event_id)"""
_COLUMNS: Final = "id, owner_id, last_event_id, last_updated_at"
_TAKEN: Final = f"SELECT {_COLUMNS} FROM conversations_conversation WHERE id = %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows that are stored with an append.

    Its text may read `taken`: the conversation's id, owner_id, last_event_id and last_updated_at,
    as the append leaves them.
    """

    text: str
    parameters: Sequence[Any]


def rows_append(
    *,
    conversation_id: UUID,
    inserts: Sequence[Insert],
    count: int = 0,
    now: datetime | None = None,
    agent_state: str | None = None,
    usage: Usage | None = None,
    epoch: int | None = None,
    only_if_last: int | None = None,
    call: Call | None = None,
) -> bool:
    """Take `count` numbers of a conversation, and store rows with them; all of it, or nothing.

    None leaves a column as it is, and asks for no `epoch` and no newest id. False where the
    conversation is deleted or another number stands there. A `call` (PostgreSQL, outside of a
    transaction) is sent along, behind the commit.
    """
    key = Conversation._meta.pk.get_db_prep_value(conversation_id, connection)
    used = usage or Usage()
    take = (
        count,
        now and connection.ops.adapt_datetimefield_value(now),
        agent_state,
        used.cost or 0.0,
        used.prompt_tokens,
        used.completion_tokens,
        used.prompt_tokens + used.completion_tokens,
        key,
        epoch,
        only_if_last,
    )
    if connection.vendor == "sqlite":
        return _in_turn(take, inserts, key)
    return _at_once(take, inserts, call)


def _at_once(take: Sequence[Any], inserts: Sequence[Insert], call: Call | None) -> bool:
    """Send it as one statement, which outside of a transaction is its own: one way there and back.

    The inserts read what the update gives: so it is always the first to lock.
    """
    parts = [f"taken AS ({_TAKE} RETURNING {_COLUMNS})"]
    parts += [f"rows{number} AS ({insert.text})" for number, insert in enumerate(inserts)]
    parameters = [*take, *(value for insert in inserts for value in insert.parameters)]
    text = f"WITH {', '.join(parts)} SELECT 1 FROM taken"  # noqa: S608
    if call is not None:
        return _with_call(text, parameters, call)
    with connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return cursor.fetchone() is not None


def _with_call(text: str, parameters: Sequence[Any], call: Call) -> bool:
    """Send the call in the same message; behind COMMIT it is a transaction of its own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"BEGIN; {text}; COMMIT; {call.text}", [*parameters, *call.parameters])
            cursor.nextset()
            return cursor.fetchone() is not None
    except Error:
        # The transaction may be open still, and Django knows of none.
        connection.close()
        raise


def _in_turn(take: Sequence[Any], inserts: Sequence[Insert], key: Any) -> bool:
    """Send one after another: SQLite has no UPDATE in a WITH, and no way to save."""
    with write_transaction(), connection.cursor() as cursor:
        cursor.execute(_TAKE, take)
        if cursor.rowcount == 0:
            return False
        for insert in inserts:
            cursor.execute(f"WITH taken AS ({_TAKEN}) {insert.text}", [key, *insert.parameters])
        return True
