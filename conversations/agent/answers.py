"""From one answer of the LLM to the events that are stored of it, in one transaction."""

from __future__ import annotations

from dataclasses import replace

from conversations.agent.llm import LLMResponse, ToolCall
from conversations.agent.tools import ToolCallError, action_from_call
from conversations.events.actions import EditAction, MessageAction, RunAction, WriteAction
from conversations.events.base import Action, EventSource, JSONObject, NewEvent, Observation
from conversations.events.observations import ErrorObservation

#: `confirmation_state` of a command that waits for the user's word.
AWAITING = "awaiting_confirmation"
_EMPTY_ANSWER = "(The model gave an empty answer.)"


def needs_confirmation(action: Action) -> bool:
    """Whether the user is asked first, in confirmation mode: what runs or changes something."""
    return isinstance(action, RunAction | EditAction | WriteAction)


def _body(call: ToolCall, thought: str, *, confirmation_mode: bool) -> Action | Observation:
    try:
        action = action_from_call(call, thought)
    except ToolCallError as error:
        return ErrorObservation(content=str(error))
    if confirmation_mode and isinstance(action, RunAction):
        return replace(action, confirmation_state=AWAITING)
    return action


def _metadata(response: LLMResponse, call: ToolCall) -> JSONObject:
    return {
        "function_name": call.name,
        "tool_call_id": call.call_id,
        "model_response": response.raw,
        "total_calls_in_response": len(response.tool_calls),
    }


def with_new_id(response: LLMResponse, taken: set[str]) -> LLMResponse:
    """Give the answer under an id that the log has not: some servers give all answers the same.

    The log's readers tell answers apart by it.
    """
    number, new_id = 1, response.response_id
    while new_id in taken:
        number, new_id = number + 1, f"{response.response_id}-{number + 1}"
    return replace(response, response_id=new_id, raw={**response.raw, "id": new_id})


def events_of(
    response: LLMResponse, *, seen: int, llm_metrics: JSONObject, confirmation_mode: bool
) -> list[NewEvent]:
    """Give an answer's events: an action or an error for each call, else a message.

    `seen` is the id of the newest event that the LLM was shown.
    """
    if not response.tool_calls:
        message = MessageAction(content=response.content or _EMPTY_ANSWER, wait_for_response=True)
        return [
            NewEvent(
                source=EventSource.AGENT, body=message, llm_metrics=llm_metrics, seen_event_id=seen
            )
        ]
    events: list[NewEvent] = []
    for number, call in enumerate(response.tool_calls):
        # The text before the calls is shown once: it is the thought of the first.
        thought = response.content if number == 0 else ""
        body = _body(call, thought, confirmation_mode=confirmation_mode)
        events.append(
            NewEvent(
                source=EventSource.AGENT,
                body=body,
                llm_metrics=llm_metrics if isinstance(body, Action) else None,
                tool_call_metadata=_metadata(response, call),
                seen_event_id=seen,
            )
        )
    return events
