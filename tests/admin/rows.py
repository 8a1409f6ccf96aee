"""Rows for the console, stored by the services that everybody uses."""

from __future__ import annotations

from django.db import transaction

from conversations.agent.llm import Usage
from conversations.agent.settling import state_changed
from conversations.events.actions import EditAction, MessageAction, RunAction
from conversations.events.base import EventSource, NewEvent
from conversations.events.observations import EditObservation, RunObservation
from conversations.events.states import AgentState
from conversations.models import Conversation, LoopLease
from conversations.services.conversations import conversation_create, conversation_rename
from conversations.services.event_log import event_append
from conversations.services.leases import requested_read
from settings_app.models import User
from settings_app.services import settings_store

SECRET = "sk-console-0123456789"
DIFF = "--- a.py\n+++ a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


def conversation_make(
    owner: User, title: str, *, state: AgentState = AgentState.FINISHED, repository: str = ""
) -> Conversation:
    """Store a conversation that rests in a state, with an answer that has cost something."""
    # All at once: the sweep of a server beside this must not see that a turn was wanted.
    with transaction.atomic():
        made = conversation_create(
            owner=owner, initial_user_msg="Mend it.", selected_repository=repository
        )
        conversation_rename(conversation=made, title=title)
        reason = "no key" if state == AgentState.ERROR else ""
        append(made, [state_changed(state, reason)], paid=True)
        served = requested_read(conversation_id=made.pk)
        LoopLease.objects.filter(pk=made.pk).update(served=served)
    return made


def append(row: Conversation, events: list[NewEvent], *, paid: bool = False) -> None:
    """Append to a log."""
    usage = Usage(prompt_tokens=900, completion_tokens=100, cost=0.25) if paid else None
    event_append(conversation_id=row.pk, events=events, usage=usage)


def history_make(row: Conversation, commands: int) -> None:
    """Append commands with their output, an edit with its diff, and a message with markup."""
    for number in range(commands):
        run = RunAction(command=f"make part-{number}", thought="Go on.")
        append(row, [NewEvent(source=EventSource.AGENT, body=run)])
        seen = RunObservation(content=f"made {number}", command=run.command, exit_code=number % 2)
        append(row, [NewEvent(source=EventSource.AGENT, body=seen, cause=_last(row))])
    edit = EditAction(path="a.py", command="str_replace", old_str="x = 1", new_str="x = 2")
    append(row, [NewEvent(source=EventSource.AGENT, body=edit)])
    changed = EditObservation(content="done", path="a.py", diff=DIFF)
    append(row, [NewEvent(source=EventSource.AGENT, body=changed, cause=_last(row))])
    # Stored without the mask, as by a version that did not know this secret yet.
    text = f"<b>My key</b> is {SECRET}"
    images = ("https://elsewhere.example/a.png",)
    message = MessageAction(content=text, image_urls=images)
    append(row, [NewEvent(source=EventSource.USER, body=message)])


def secret_store(owner: User) -> None:
    """Let an owner have a secret."""
    settings_store(user=owner, fields={"llm_model": "openai/scripted", "llm_api_key": SECRET})


def _last(row: Conversation) -> int:
    return Conversation.objects.values_list("last_event_id", flat=True).get(pk=row.pk)
