"""What a log says, in short words that tests can compare."""

from __future__ import annotations

from uuid import UUID

from conversations.events.actions import ACTIONS
from conversations.models import Conversation, EventRecord, LoopLease
from conversations.selectors import all_event_rows, conversation_item


def told(conversation: Conversation) -> list[str]:
    """Give the log as words: `user message`, `agent run`, `state running`, `agent<run`, …"""
    words = []
    for row in all_event_rows(conversation_id=conversation.pk):
        if row.observation == "agent_state_changed":
            words.append(f"state {row.payload['extras']['agent_state']}")
        elif row.action:
            words.append(f"{row.source} {row.action}")
        else:
            words.append(f"{row.source}<{row.observation}")
    return words


def contents(conversation: Conversation, observation: str) -> list[str]:
    """Give the contents of a kind of observation, in order."""
    return [
        row.payload["content"]
        for row in all_event_rows(conversation_id=conversation.pk)
        if row.observation == observation
    ]


def assert_sound(conversation: Conversation, *, at_rest: bool = True) -> None:
    """Check invariants 2, 3 and 5 on the stored data."""
    records = EventRecord.objects.filter(conversation=conversation).order_by("event_id")
    rows = [record.to_row() for record in records]
    row = Conversation.objects.get(pk=conversation.pk)
    assert [r.event_id for r in rows] == list(range(len(rows)))
    assert row.last_event_id == len(rows) - 1
    executable = [r.event_id for r in rows if r.action and ACTIONS[r.action].executable]
    causes = [r.cause for r in rows if r.cause is not None]
    assert len(causes) == len(set(causes)), "an action was settled twice"
    assert set(causes) <= set(executable)
    for r in rows:
        assert r.cause is None or r.cause < r.event_id
    if at_rest:
        assert set(causes) == set(executable), "an action was never settled"
        lease = LoopLease.objects.get(conversation=conversation)
        assert lease.requested == lease.served
        assert lease.lease_expires_at is None
        assert lease.control == ""
        assert status(conversation.pk) == "STOPPED"


def status(conversation_id: UUID) -> str:
    """Give the status that clients see."""
    owner = Conversation.objects.get(pk=conversation_id).owner
    item = conversation_item(user=owner, conversation_id=conversation_id)
    assert item is not None
    return str(item["status"])
