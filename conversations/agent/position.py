"""Where a conversation stands, read from its log alone: a restart knows what was known before."""

from __future__ import annotations

from collections.abc import Iterable

from conversations.events.actions import FinishAction, MessageAction, RunAction
from conversations.events.base import Action, Event, EventSource
from conversations.events.observations import AgentStateChangedObservation, RunObservation
from conversations.events.states import AgentState

#: The reason on the state event that marks the start of a command typed by the user. Such a state
#: is not the agent's own: it is left again for the state before it.
USER_COMMAND = "user_command"

_CONFIRMATION_STATES = frozenset(
    {
        AgentState.AWAITING_USER_CONFIRMATION,
        AgentState.USER_CONFIRMED,
        AgentState.USER_REJECTED,
    }
)


class Position:
    """A fold over the events of one conversation. `apply` takes them in order, each once."""

    def __init__(self, *, replay_length: int = 0) -> None:
        self.events: list[Event] = []
        self.last_event_id = -1
        #: The agent's own state; user commands don't count.
        self.state = AgentState.LOADING
        #: The word that clients saw last.
        self.shown_state: AgentState | None = None
        #: Executable actions without an observation, in order.
        self.unsettled: dict[int, Event] = {}
        #: Those of them whose execution may have begun: a marker in the log says so.
        self.started: set[int] = set()
        #: Answers of the LLM since the user last said something.
        self.iterations = 0
        #: The place in `events` of what has let the agent begin, or go on, at last.
        self.begun_at = -1
        #: Actions of the agent so far: the position in a replay.
        self.agent_actions = 0
        self.shell_was_used = False
        #: The state that the last answer leads to, where it leads to rest.
        self.rest_after_answer: AgentState | None = None
        self._replay_length = replay_length
        self._last_user_message_id = -1
        self._answered_until = -1
        #: The ids of the LLM's answers so far.
        self.answer_ids: set[str] = set()
        self._last_answer = ""

    def extend(self, events: Iterable[Event]) -> None:
        """Apply events in order."""
        for event in events:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log."""
        self.events.append(event)
        self.last_event_id = event.event_id
        body = event.body
        if isinstance(body, AgentStateChangedObservation):
            self._apply_state(body)
        elif isinstance(body, Action):
            self._apply_action(event, body)
        if event.cause is not None:
            self.unsettled.pop(event.cause, None)
            self.started.discard(event.cause)
        if isinstance(body, RunObservation) and not event.imported:
            self.shell_was_used = True
        self._apply_answer(event)

    def _apply_state(self, body: AgentStateChangedObservation) -> None:
        self.shown_state = body.agent_state
        if body.reason == USER_COMMAND:
            self._mark_started(EventSource.USER)
            return
        if body.agent_state is AgentState.RUNNING:
            if self.state is AgentState.USER_CONFIRMED:
                self._mark_started(EventSource.AGENT)
            self._begin()
        self.state = body.agent_state

    def _begin(self) -> None:
        self.iterations = 0
        self.begun_at = len(self.events) - 1

    def _mark_started(self, source: EventSource) -> None:
        event = self.first_unsettled(source)
        if event is not None:
            self.started.add(event.event_id)

    def _apply_action(self, event: Event, body: Action) -> None:
        if body.executable:
            self.unsettled[event.event_id] = event
        if event.source is EventSource.AGENT:
            self.agent_actions += 1
            if self.agent_actions <= self._replay_length:
                # What was recorded is not what the agent does of itself.
                self.begun_at = len(self.events) - 1
            self.rest_after_answer = _rest_after(body)
        elif isinstance(body, MessageAction) and event.seen_event_id is None:
            # A message that carries seen_event_id comes from a recording, which answers it itself.
            self._last_user_message_id = event.event_id
            self._begin()

    def _apply_answer(self, event: Event) -> None:
        if event.seen_event_id is None or event.source is not EventSource.AGENT:
            return
        self._answered_until = max(self._answered_until, event.seen_event_id)
        answer = response_id(event) or f"event {event.event_id}"
        self.answer_ids.add(answer)
        if not isinstance(event.body, Action):
            # A call that was refused: the LLM has to read why.
            self.rest_after_answer = None
        replayed = self.agent_actions <= self._replay_length and self._replay_length > 0
        if answer != self._last_answer and not replayed:
            self.iterations += 1
        self._last_answer = answer

    @property
    def has_unanswered_message(self) -> bool:
        """Whether the user said something that the LLM has not seen."""
        return self._last_user_message_id > self._answered_until

    @property
    def in_confirmation(self) -> bool:
        """Whether an action waits for the user's word, or has just got it."""
        return self.state in _CONFIRMATION_STATES

    def first_unsettled(self, source: EventSource) -> Event | None:
        """Give the oldest unsettled action of a source."""
        return next((e for e in self.unsettled.values() if e.source is source), None)

    def next_user_command(self) -> Event | None:
        """Give the oldest command typed by the user that nobody has begun."""
        for event in self.unsettled.values():
            if (
                event.source is EventSource.USER
                and isinstance(event.body, RunAction)
                and event.event_id not in self.started
            ):
                return event
        return None


def _rest_after(body: Action) -> AgentState | None:
    if isinstance(body, FinishAction):
        return AgentState.FINISHED
    if isinstance(body, MessageAction):
        return AgentState.AWAITING_USER_INPUT
    return None


def response_id(event: Event) -> str | None:
    """Give the id of the LLM's answer that an event comes from, if it comes from one."""
    metadata = event.tool_call_metadata
    if metadata is None:
        return None
    response = metadata.get("model_response") or {}
    return response.get("id")
