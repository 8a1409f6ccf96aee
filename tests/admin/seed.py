"""The rows that the browser walks over; run in a process of the server's settings."""

from __future__ import annotations

from conversations.events.states import AgentState
from settings_app.models import User
from settings_app.services import settings_reset
from tests.admin.rows import conversation_make, history_make, secret_store

#: Titles of what the actions are tried on, and the state that each is in.
FOR_ACTIONS = {
    "To be stopped": AgentState.AWAITING_USER_CONFIRMATION,
    "To be resumed": AgentState.PAUSED,
    "To be retitled": AgentState.FINISHED,
    "To be deleted": AgentState.FINISHED,
}


def seed() -> None:
    """Store sixty conversations: ada's to look at, bob's to act on."""
    ada, bob = (User.objects.get(username=name) for name in ("ada", "bob"))
    secret_store(bob)
    for number in range(54):
        conversation_make(ada, f"Plain {number:02}", repository="octo/world" if number < 3 else "")
    conversation_make(ada, "Broken", state=AgentState.ERROR)
    history_make(conversation_make(ada, "With a history"), 20)
    for title, state in FOR_ACTIONS.items():
        conversation_make(bob, title, state=state)
    # Without a key nothing of his asks a model.
    settings_reset(user=bob)
