"""What an action that nobody will carry out is settled with: after a crash, a stop, a no."""

from __future__ import annotations

from conversations.agent.position import Position
from conversations.events.base import EventSource, NewEvent
from conversations.events.observations import (
    AgentStateChangedObservation,
    ErrorObservation,
    UserRejectedObservation,
)
from conversations.events.states import WORKING_STATES, AgentState

_TEXTS = {
    "unknown": (
        "The outcome is unknown: the process that carried out this action ended before it could "
        "record the result. The action may have had its effect, wholly, partly or not at all; "
        "look before you do it again. It is not repeated by itself."
    ),
    "not_executed": "This action was not executed: the process ended before its turn came.",
    "left": "This action was not executed.",
    "stopped": "This action was not executed: the agent was stopped before its turn came.",
    "unstoppable": (
        "The command did not end when it was interrupted; its sandbox is being closed. "
        "What it had done by then is not known."
    ),
    "rejected": "The user did not allow this action. It was not executed.",
}


def error_for(why: str) -> str:
    """Give the text for a reason: unknown, not_executed, left, stopped, unstoppable or rejected."""
    return _TEXTS[why]


def state_changed(state: AgentState, reason: str = "") -> NewEvent:
    """Give the event that tells everybody what the agent does now."""
    return NewEvent(
        source=EventSource.ENVIRONMENT,
        body=AgentStateChangedObservation(agent_state=state, reason=reason),
    )


def settlement(event_id: int, why: str) -> NewEvent:
    """Settle an action that is not carried out, or not known to be; `why` as for error_for."""
    return NewEvent(
        source=EventSource.ENVIRONMENT,
        body=ErrorObservation(content=error_for(why)),
        cause=event_id,
    )


def rejections(position: Position) -> list[NewEvent]:
    """Settle the pending action, and those that wait behind it, as not allowed by the user."""
    return [
        NewEvent(
            source=EventSource.ENVIRONMENT,
            body=UserRejectedObservation(content=error_for("rejected")),
            cause=event.event_id,
        )
        for event in position.unsettled.values()
        if event.source is EventSource.AGENT
    ]


def leftovers(position: Position) -> list[NewEvent]:
    """Settle what an earlier turn left open (invariant 5); to be asked once, before a turn acts.

    The first action that may have begun gets "outcome unknown", those behind it "not executed". An
    action that waits for the user's word, and a command of his that nobody began, stay open.
    """
    settled: list[NewEvent] = []
    begun = position.state in WORKING_STATES
    for event_id, event in position.unsettled.items():
        if event.source is EventSource.USER:
            if event_id in position.started:
                settled.append(settlement(event_id, "unknown"))
        elif not position.in_confirmation:
            why = "left" if not begun else "not_executed" if settled else "unknown"
            settled.append(settlement(event_id, why))
    return settled


def not_begun(position: Position) -> list[NewEvent]:
    """Settle what a turn that is handed back has taken in hand and not begun.

    A command of the user whose turn has not come, and what waits for his word, stay open.
    """
    return [
        settlement(event_id, "not_executed")
        for event_id, event in position.unsettled.items()
        if event_id in position.started
        or (event.source is not EventSource.USER and not position.in_confirmation)
    ]
