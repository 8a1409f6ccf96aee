"""Start, stop and answer the agent loop of a conversation: the rows around a turn, not the turn."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import F

from conversations.agent.settling import settlement, state_changed
from conversations.bus import get_bus
from conversations.dispatch import request_turn
from conversations.events.states import AgentState
from conversations.exceptions import ConversationGoneError, InvalidInputError
from conversations.models import Control, Conversation, LoopLease
from conversations.selectors import unsettled_action_ids
from conversations.services.event_log import event_append
from conversations.services.transactions import write_transaction

_RESUMABLE = frozenset(
    {AgentState.PAUSED, AgentState.STOPPED, AgentState.ERROR, AgentState.RATE_LIMITED}
)
_CONTROL_OF = {AgentState.STOPPED: Control.STOP, AgentState.PAUSED: Control.PAUSE}
_ANSWERS = frozenset({AgentState.USER_CONFIRMED, AgentState.USER_REJECTED})


def _locked(conversation: Conversation) -> Conversation:
    """Read the row again under its lock; every writer that comes later waits for us."""
    try:
        return (
            Conversation.objects.alive()
            .select_for_update(no_key=True)
            .only("epoch", "agent_state", "last_updated_at")
            .get(pk=conversation.pk)
        )
    except Conversation.DoesNotExist as error:
        raise ConversationGoneError from error


def loop_start(*, conversation: Conversation) -> None:
    """Resume a loop that was paused, stopped, or ended in an error; else do nothing."""
    with write_transaction():
        row = _locked(conversation)
        held = LoopLease.objects.filter(conversation=row, lease_expires_at__isnull=False)
        if row.agent_state not in _RESUMABLE or held.exists():
            return
        event_append(conversation_id=row.pk, events=[state_changed(AgentState.RUNNING)])
        request_turn(row.pk)


def loop_stop(*, conversation: Conversation, state: AgentState = AgentState.STOPPED) -> None:
    """Stop a loop, or pause it. Its runner, if there is one, interrupts and settles what it does.

    Without a runner the state is stored here, and whatever was wanted is no longer wanted.
    """
    with write_transaction():
        row = _locked(conversation)
        lease = LoopLease.objects.filter(conversation=row)
        # A lease that ran out counts too: whoever takes it over carries the stop out.
        if lease.filter(lease_expires_at__isnull=False).update(
            control=_CONTROL_OF[state], control_epoch=row.epoch
        ):
            transaction.on_commit(partial(get_bus().publish, row.pk))
            return
        events = [settlement(event_id, "stopped") for event_id in unsettled_action_ids(row.pk)]
        if events or row.agent_state != state:
            event_append(conversation_id=row.pk, events=[*events, state_changed(state)])
        lease.update(served=F("requested"))


def loop_stop_if_any(*, conversation: Conversation, idle_since: datetime | None = None) -> bool:
    """Stop a loop that runs, is wanted, or waits for a yes; False where there is none of these.

    Unlike loop_stop it leaves a conversation alone that has come to rest by itself, and with
    `idle_since` one that has got an event since then.
    """
    with write_transaction():
        row = _locked(conversation)
        pending = row.agent_state == AgentState.AWAITING_USER_CONFIRMATION
        if not pending and not LoopLease.objects.in_use().filter(conversation=row).exists():
            return False
        if idle_since is not None and row.last_updated_at >= idle_since:
            return False
        loop_stop(conversation=conversation)
    return True


def confirmation_answer(*, conversation: Conversation, answer: AgentState) -> None:
    """Store the user's yes or no to the pending action; without a pending action do nothing."""
    with write_transaction():
        row = _locked(conversation)
        if row.agent_state != AgentState.AWAITING_USER_CONFIRMATION:
            return
        event_append(conversation_id=row.pk, events=[state_changed(answer)])
        request_turn(row.pk)


def state_request(*, conversation: Conversation, state: str) -> None:
    """Carry out `change_agent_state` of a client (CONTRACT section 5).

    Raises InvalidInputError for a state that a client can't ask for.
    """
    if state in _CONTROL_OF:
        loop_stop(conversation=conversation, state=AgentState(state))
    elif state == AgentState.RUNNING:
        loop_start(conversation=conversation)
    elif state in _ANSWERS:
        confirmation_answer(conversation=conversation, answer=AgentState(state))
    else:
        allowed = ", ".join(sorted([*_CONTROL_OF, AgentState.RUNNING, *_ANSWERS]))
        message = f"agent_state {state[:50]!r} cannot be asked for; it takes one of: {allowed}"
        raise InvalidInputError(message)
