"""What an operator's actions do to rows, and that each is written down, on any database.

The forms and what they say are walked in test_browser.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from knox.models import AuthToken

from conversations.events.states import AgentState
from conversations.models import Conversation, LoopLease
from settings_app.models import User
from tests.admin.rows import conversation_make, history_make, secret_store

LIST = "/admin/conversations/conversation/"


@pytest.fixture
def owner(user: User) -> User:
    secret_store(user)
    return user


def audit() -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.all()]


def is_wanted(row: Conversation) -> bool:
    lease = LoopLease.objects.get(pk=row.pk)
    return lease.requested > lease.served


@pytest.mark.parametrize(
    ("action", "past", "is_done"),
    [
        ("stop", "Stopped", lambda row: not is_wanted(row) and row.agent_state == "stopped"),
        ("resume", "Resumed", is_wanted),
        ("retitle", "Asked for a new title", lambda row: row.title != "Mend the gate"),
        ("delete", "Deleted with its sandbox", lambda row: row.deleted_at is not None),
    ],
)
def test_an_action_asks_first_acts_once_and_is_written_down(
    owner: User, client: Client, action: str, past: str, is_done: Callable[[Conversation], bool]
) -> None:
    row = conversation_make(owner, "Mend the gate", state=AgentState.ERROR)
    if action == "stop":
        LoopLease.objects.filter(pk=row.pk).update(requested=9)
    sent = {"action": action, "_selected_action": row.pk.hex}
    assert client.post(LIST, sent).status_code == 200
    row.refresh_from_db()
    assert not is_done(row), "asked only"
    assert audit() == []
    assert client.post(LIST, {**sent, "confirmed": "yes"}).status_code == 302
    row.refresh_from_db()
    assert is_done(row)
    assert audit() == [past]
    if action != "retitle":
        assert client.post(LIST, {**sent, "confirmed": "yes"}).status_code == 302
        assert audit() == [past], "there was nothing to do"


def test_a_trajectory_is_exported_whole_and_that_is_written_down(
    owner: User, client: Client
) -> None:
    row = conversation_make(owner, "Mend the gate")
    history_make(row, 3)
    sent = {"action": "export", "_selected_action": row.pk.hex, "confirmed": "yes"}
    answer = client.post(LIST, sent)
    events = json.loads(answer.getvalue())["trajectory"]
    row.refresh_from_db()
    assert [event["id"] for event in events] == list(range(row.last_event_id + 1))
    assert audit() == ["Exported the trajectory"]


def test_a_token_is_revoked_and_no_other(owner: User, client: Client) -> None:
    (kept, _), (revoked, _) = (AuthToken.objects.create(user=owner) for _ in range(2))
    sent = {"token": revoked.token_key, "confirmed": "yes"}
    path = f"/admin/settings_app/user/{owner.pk}/revoke/"
    assert client.post(path, sent).status_code == 302
    assert list(AuthToken.objects.all()) == [kept]
    (said,) = audit()
    assert said.startswith("Revoked the token")
