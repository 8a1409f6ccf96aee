"""One socket's way through the log: history first, then live, by one cursor. It writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from django.db import DatabaseError

from conversations.bus import get_bus
from conversations.events.base import JSONObject
from conversations.events.codec import event_to_wire
from conversations.events.states import AgentState
from conversations.models import Conversation
from conversations.selectors import event_rows
from conversations.services.repeating import failure_tell
from conversations.services.transactions import RETRY_SECONDS, in_db_thread

log = structlog.get_logger(__name__)

#: Sent to sockets of a deleted conversation; it is not stored, so it has no id (CONTRACT 8.4).
GONE: JSONObject = {
    "observation": "agent_state_changed",
    "content": "",
    "message": "",
    "extras": {"agent_state": AgentState.STOPPED.value, "reason": "deleted"},
}


def _is_gone(conversation_id: UUID) -> bool:
    return not Conversation.objects.alive().filter(pk=conversation_id).exists()


async def pump(
    *, conversation_id: UUID, cursor: int, emit: Callable[[JSONObject], Awaitable[None]]
) -> None:
    """Emit every event above `cursor` in order, once each, until cancelled or deleted.

    The subscription comes before the first read: an event that is stored between them is read
    twice by nobody and missed by nobody, since only the cursor decides.
    """
    subscription = get_bus().subscribe(conversation_id)
    try:
        while True:
            try:
                rows = await in_db_thread(event_rows, conversation_id=conversation_id, after=cursor)
                gone = not rows and await in_db_thread(_is_gone, conversation_id)
            except DatabaseError as error:
                failure_tell(log, "stream_read_failed", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for row in rows:
                await emit(event_to_wire(row))
                cursor = row.event_id
            if gone:
                await emit(GONE)
                return
            if not rows:
                await subscription.wait()
    finally:
        subscription.close()
