"""How a log that another server broke off comes to rest: as after a crash of our own."""

from __future__ import annotations

from conversations.agent.position import Position, response_id
from conversations.agent.settling import leftovers, rejections, settlement, state_changed
from conversations.events.base import Action, Event, EventSource, NewEvent
from conversations.events.foreign import ForeignAction
from conversations.events.observations import AgentStateChangedObservation
from conversations.events.states import WORKING_STATES, AgentState

#: The reason on the state event that an import adds.
IMPORTED = "imported"
_NO_REST = WORKING_STATES | {AgentState.USER_CONFIRMED, AgentState.USER_REJECTED}


class Ending:
    """A fold over an imported log that keeps no event but those that are open."""

    def __init__(self) -> None:
        self._position = Position()
        self._any_state = False
        #: Stored once more when the user had allowed them: the original does so.
        self._repeated: list[int] = []
        self._last_question = -1

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        position = self._position
        call = _call(event)
        if call is not None and isinstance(event.body, Action):
            for earlier in list(position.unsettled.values()):
                if _call(earlier) == call and earlier.source is EventSource.AGENT:
                    self._repeated.append(earlier.event_id)
        position.apply(event)
        position.events.clear()
        position.answer_ids.clear()
        if isinstance(event.body, AgentStateChangedObservation):
            self._any_state = True
            if event.body.agent_state is AgentState.AWAITING_USER_CONFIRMATION:
                self._last_question = event.event_id

    @property
    def state(self) -> AgentState | None:
        """Give the last state that clients saw."""
        return self._position.shown_state

    def events(self) -> list[NewEvent]:
        """Give what has to be added; to be asked once, when all events were applied."""
        position, added = self._position, []
        for event_id in self._repeated:
            if position.unsettled.pop(event_id, None):
                added.append(settlement(event_id, "left"))
        # Its process is gone: whether a command of the user's ran there, nobody knows.
        position.started |= {
            number for number, e in position.unsettled.items() if e.source is EventSource.USER
        }
        if position.state is AgentState.USER_CONFIRMED:
            # Allowed, so it may have begun.
            position.state = AgentState.RUNNING
        added += leftovers(position)
        if position.state is AgentState.USER_REJECTED:
            added += rejections(position)
        asks = position.state is AgentState.AWAITING_USER_CONFIRMATION
        pending = self._pending() if asks else set()
        done = pending | {event.cause for event in added}
        added += [settlement(number, "left") for number in position.unsettled if number not in done]
        if not self._any_state or self.state in _NO_REST or (asks and not pending):
            # The word that the original stores itself when it ends while an agent is at work.
            added.append(state_changed(AgentState.STOPPED, IMPORTED))
        return added

    def _pending(self) -> set[int]:
        """Give the actions that the last question was about: they stay open for the user."""
        return {
            number
            for number, event in self._position.unsettled.items()
            if number > self._last_question
            and event.source is EventSource.AGENT
            and not isinstance(event.body, ForeignAction)
        }


def _call(event: Event) -> tuple[str | None, object] | None:
    metadata = event.tool_call_metadata
    if metadata is None or event.source is not EventSource.AGENT:
        return None
    return response_id(event), metadata.get("tool_call_id")
