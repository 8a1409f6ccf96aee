"""The table "What an input does" of docs/architecture.md; the loop's side is in test_turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from conversations.agent.settling import state_changed
from conversations.dispatch import request_turn
from conversations.events.codec import user_message
from conversations.events.states import AgentState
from conversations.exceptions import (
    ConversationGoneError,
    InvalidInputError,
    LLMKeyMissingError,
    SettingsNotFoundError,
)
from conversations.models import Control, Conversation, EventRecord, LoopLease
from conversations.services.agent_loops import loop_stop, state_request
from conversations.services.conversations import conversation_create, conversation_delete
from conversations.services.event_log import event_append
from conversations.services.leases import lease_claim
from conversations.services.messages import MAX_TEXT, command_send, message_send
from settings_app.models import User
from settings_app.services import settings_store
from tests.services.reading import status, told

Make = Callable[..., Conversation]

REST = [
    AgentState.AWAITING_USER_INPUT,
    AgentState.PAUSED,
    AgentState.STOPPED,
    AgentState.ERROR,
    AgentState.FINISHED,
    AgentState.RATE_LIMITED,
]
RESUMABLE = {AgentState.PAUSED, AgentState.STOPPED, AgentState.ERROR, AgentState.RATE_LIMITED}


def lease_of(conversation: Conversation) -> LoopLease:
    return LoopLease.objects.get(conversation=conversation)


def wanted(conversation: Conversation) -> bool:
    return LoopLease.objects.wanted().filter(conversation=conversation).exists()


def at_rest(conversation: Conversation, state: AgentState) -> Conversation:
    """Bring a conversation into a state of rest that nobody runs."""
    event_append(conversation_id=conversation.pk, events=[state_changed(state)])
    LoopLease.objects.filter(conversation=conversation).update(requested=1, served=1)
    return conversation


def running(conversation: Conversation) -> Conversation:
    """Let a runner hold the lease."""
    assert lease_claim(conversation_id=conversation.pk, process="somebody") is not None
    return conversation


def test_create_with_text_stores_message_and_loading_and_wants_a_turn(
    conversation_of: Make,
) -> None:
    conversation = conversation_of()
    assert told(conversation) == ["user message", "state loading"]
    assert wanted(conversation)
    assert status(conversation.pk) == "RUNNING"


def test_create_with_images_only_stores_an_empty_message(owner: User) -> None:
    conversation = conversation_create(owner=owner, image_urls=["data:image/png;base64,AA=="])
    assert told(conversation) == ["user message", "state loading"]
    assert wanted(conversation)


def test_create_with_neither_waits_for_the_user(conversation_of: Make) -> None:
    conversation = conversation_of("")
    assert told(conversation) == ["state awaiting_user_input"]
    assert not wanted(conversation)
    assert status(conversation.pk) == "STOPPED"


def test_create_needs_settings_and_a_key_and_stores_nothing_without(user: User) -> None:
    with pytest.raises(SettingsNotFoundError):
        conversation_create(owner=user, initial_user_msg="x")
    settings_store(user=user, fields={"llm_model": "m", "llm_api_key": "   "})
    with pytest.raises(LLMKeyMissingError):
        conversation_create(owner=user, initial_user_msg="x")
    assert not Conversation.objects.exists()
    recording = [
        {"source": "agent", "action": "think", "args": {"thought": "x"}, "tool_call_metadata": None}
    ]
    conversation = conversation_create(owner=user, recording=recording)
    assert told(conversation) == ["state loading"]
    assert wanted(conversation)


@pytest.mark.parametrize("state", REST)
def test_a_message_at_rest_is_stored_and_wants_a_turn(
    conversation_of: Make, state: AgentState
) -> None:
    conversation = at_rest(conversation_of(), state)
    message_send(conversation=conversation, content="More.")
    assert told(conversation)[-1] == "user message"
    assert wanted(conversation)


def test_a_message_to_a_live_loop_is_stored_and_counted(conversation_of: Make) -> None:
    conversation = running(conversation_of())
    before = lease_of(conversation).requested
    message_send(conversation=conversation, content="More.")
    assert told(conversation)[-1] == "user message"
    assert lease_of(conversation).requested == before + 1
    assert not wanted(conversation), "the lease is live: its runner serves the request"


@pytest.mark.parametrize("state", [AgentState.STOPPED, AgentState.PAUSED])
def test_stop_and_pause_without_a_runner_store_the_state_and_want_nothing(
    conversation_of: Make, state: AgentState
) -> None:
    conversation = conversation_of()
    state_request(conversation=conversation, state=state)
    assert told(conversation)[-1] == f"state {state}"
    assert not wanted(conversation)
    again = lease_of(conversation)
    state_request(conversation=conversation, state=state)
    assert told(conversation).count(f"state {state}") == 1
    assert lease_of(conversation).requested == again.requested


@pytest.mark.parametrize(
    ("state", "control"),
    [(AgentState.STOPPED, Control.STOP), (AgentState.PAUSED, Control.PAUSE)],
)
def test_stop_and_pause_of_a_live_loop_are_a_control_for_its_epoch(
    conversation_of: Make, state: AgentState, control: Control
) -> None:
    conversation = running(conversation_of())
    state_request(conversation=conversation, state=state)
    lease = lease_of(conversation)
    assert (lease.control, lease.control_epoch) == (control, 1)
    assert told(conversation)[-1] == "state loading"
    message_send(conversation=conversation, content="And then this.")
    assert lease_of(conversation).control == Control.RESTART


@pytest.mark.parametrize("state", REST)
def test_resume_goes_on_from_where_a_loop_was_ended_and_does_nothing_else(
    conversation_of: Make, state: AgentState
) -> None:
    conversation = at_rest(conversation_of(), state)
    state_request(conversation=conversation, state="running")
    assert wanted(conversation) is (state in RESUMABLE)
    assert told(conversation)[-1] == ("state running" if state in RESUMABLE else f"state {state}")


def test_resume_of_a_live_loop_does_nothing(conversation_of: Make) -> None:
    conversation = running(conversation_of())
    before = told(conversation)
    state_request(conversation=conversation, state="running")
    assert told(conversation) == before


@pytest.mark.parametrize("answer", ["user_confirmed", "user_rejected"])
def test_an_answer_to_a_pending_action_is_stored_and_wants_a_turn(
    conversation_of: Make, answer: str
) -> None:
    conversation = at_rest(conversation_of(), AgentState.AWAITING_USER_CONFIRMATION)
    state_request(conversation=conversation, state=answer)
    assert told(conversation)[-1] == f"state {answer}"
    assert wanted(conversation)


@pytest.mark.parametrize("answer", ["user_confirmed", "user_rejected"])
def test_an_answer_without_a_pending_action_does_nothing(
    conversation_of: Make, answer: str
) -> None:
    conversation = at_rest(conversation_of(), AgentState.FINISHED)
    state_request(conversation=conversation, state=answer)
    assert told(conversation)[-1] == "state finished"
    assert not wanted(conversation)


def test_a_command_is_stored_and_wants_a_turn(conversation_of: Make) -> None:
    conversation = at_rest(conversation_of(), AgentState.FINISHED)
    command_send(conversation=conversation, command="ls")
    assert told(conversation)[-1] == "user run"
    assert wanted(conversation)


def test_a_stop_settles_a_command_that_nobody_has_begun(conversation_of: Make) -> None:
    conversation = at_rest(conversation_of(), AgentState.FINISHED)
    command_send(conversation=conversation, command="ls")
    loop_stop(conversation=conversation)
    assert told(conversation)[-3:] == ["user run", "environment<error", "state stopped"]
    assert not wanted(conversation)


def test_delete_hides_at_once_and_stops_the_runner(conversation_of: Make) -> None:
    conversation = running(conversation_of())
    assert conversation_delete(conversation=conversation)
    assert lease_of(conversation).control == Control.STOP
    assert not Conversation.objects.visible_to(conversation.owner).exists()
    assert not conversation_delete(conversation=conversation)
    with pytest.raises(ConversationGoneError):
        message_send(conversation=conversation, content="Hello?")
    with pytest.raises(ConversationGoneError):
        loop_stop(conversation=conversation)


def test_bad_input_stores_nothing(conversation_of: Make) -> None:
    conversation = conversation_of()
    before = told(conversation)
    with pytest.raises(InvalidInputError, match="agent_state 'asleep'"):
        state_request(conversation=conversation, state="asleep")
    with pytest.raises(InvalidInputError):
        command_send(conversation=conversation, command=" ")
    with pytest.raises(InvalidInputError):
        message_send(conversation=conversation, content="x" * (MAX_TEXT + 1))
    assert told(conversation) == before


def test_what_a_transaction_takes_back_was_never_there(conversation_of: Make) -> None:
    conversation = conversation_of()

    def half() -> None:
        with transaction.atomic():
            event_append(conversation_id=conversation.pk, events=[user_message("half")])
            request_turn(conversation.pk)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert told(conversation) == ["user message", "state loading"]
    assert Conversation.objects.get(pk=conversation.pk).last_event_id == 1
    assert EventRecord.objects.filter(conversation=conversation).count() == 2
