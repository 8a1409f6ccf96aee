"""A recorded trajectory as a plan: the agent's actions in order, carried out without an LLM."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from conversations.agent.llm import ToolCall
from conversations.agent.tools import ToolCallError, action_from_call, call_of_action
from conversations.events.actions import ACTIONS, EditAction, MessageAction
from conversations.events.base import Action, EventSource, JSONObject, NewEvent
from conversations.events.cleaning import clean
from conversations.events.codec import body_from_fields
from conversations.exceptions import InvalidEventError, InvalidTrajectoryError

#: Actions that only record what went on; they have no effect and are left out of a replay.
WITHOUT_EFFECT = frozenset(
    {"null", "recall", "change_agent_state", "system", "condensation", "condensation_request"}
)


def recording_from_json(text: str) -> list[JSONObject]:
    """Read and check `replay_json`; give what a replay needs of it, ready to be stored.

    Raises InvalidTrajectoryError that names the event (counted from 0) and what is wrong with it.
    """
    try:
        data = clean(json.loads(text))
    except (ValueError, RecursionError) as error:
        message = f"is not valid JSON: {error}"
        raise InvalidTrajectoryError(message) from error
    if isinstance(data, dict):
        data = data.get("trajectory")
    if not isinstance(data, list):
        message = "must be a JSON array of events, or an object with one as `trajectory`"
        raise InvalidTrajectoryError(message)
    recording = [kept for number, item in enumerate(data) if (kept := _checked(number, item))]
    if not any(item["source"] == EventSource.AGENT for item in recording):
        message = "has no action of the agent in it: there is nothing to replay"
        raise InvalidTrajectoryError(message)
    return recording


def _checked(number: int, item: Any) -> JSONObject | None:
    """Give the part of a recorded event that is replayed, None where nothing of it is."""
    if not isinstance(item, dict):
        message = f"event {number} is {type(item).__name__}, not an object"
        raise InvalidTrajectoryError(message)
    if not isinstance(item.get("action"), str) and not isinstance(item.get("observation"), str):
        message = f"event {number} has neither an action nor an observation"
        raise InvalidTrajectoryError(message)
    kind, source = item.get("action"), item.get("source")
    if not isinstance(kind, str | None) or not isinstance(source, str | None):
        message = f"event {number}: action and source must be strings"
        raise InvalidTrajectoryError(message)
    if not kind or kind in WITHOUT_EFFECT or source == EventSource.ENVIRONMENT:
        return None
    if source == EventSource.USER and kind != MessageAction.kind:
        return None
    if source not in {EventSource.USER, EventSource.AGENT}:
        message = f"event {number} has the source {source!r}, not user or agent"
        raise InvalidTrajectoryError(message)
    kept = {
        "source": source,
        "action": kind,
        "args": item.get("args"),
        "tool_call_metadata": item.get("tool_call_metadata"),
    }
    try:
        _body(kept)
    except (InvalidEventError, ToolCallError) as error:
        message = f"event {number}: {error}"
        raise InvalidTrajectoryError(message) from error
    return kept


def _body(item: JSONObject) -> Action:
    kind, args = item["action"], item["args"]
    cls = ACTIONS.get(kind)
    if cls is None:
        message = f"the action {kind!r} cannot be replayed; those that can: {', '.join(ACTIONS)}"
        raise InvalidEventError(message)
    if not isinstance(args, dict):
        message = f"{kind}: args must be an object"
        raise InvalidEventError(message)
    if cls is EditAction and not args.get("command"):
        return _edit_from_metadata(item, str(args.get("thought") or ""))
    # Recordings carry null for what an action had not; our defaults say the same.
    body: Action = body_from_fields(cls, {k: v for k, v in args.items() if v is not None})
    return body


def _edit_from_metadata(item: JSONObject, thought: str) -> Action:
    """Give an edit whose arguments stand only in the recorded tool call."""
    metadata = item["tool_call_metadata"]
    try:
        calls = metadata["model_response"]["choices"][0]["message"]["tool_calls"]
        call = next(c for c in calls if c["id"] == metadata["tool_call_id"])
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        return action_from_call(ToolCall(call_id="", name=name, arguments=arguments), thought)
    except (LookupError, TypeError, StopIteration) as error:
        message = "edit: neither args nor tool_call_metadata say what to edit"
        raise InvalidEventError(message) from error


def whole_metadata(metadata: Any) -> JSONObject | None:
    """Give the recorded LLM answer where it is whole: the history is built from it."""
    try:
        message = metadata["model_response"]["choices"][0]["message"]
        calls = {call["id"] for call in message["tool_calls"]}
        functions = [call["function"] for call in message["tool_calls"]]
        texts = [*calls, metadata["model_response"]["id"]]
        texts += [function[key] for function in functions for key in ("name", "arguments")]
        whole = metadata["tool_call_id"] in calls and all(isinstance(t, str) and t for t in texts)
    except (LookupError, TypeError):
        return None
    return dict(metadata) if whole else None


def made_up_metadata(action: Action, *, answer_id: str) -> JSONObject | None:
    """Give an LLM's answer that asks for `action`, for a recording that has kept none.

    With it the LLM that goes on after the replay reads what was done as its own. None for text.
    """
    call = call_of_action(action)
    if call is None:
        return None
    name, arguments = call
    function = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": getattr(action, "thought", ""),
        "tool_calls": [{"id": answer_id, "type": "function", "function": function}],
    }
    return {
        "function_name": name,
        "tool_call_id": answer_id,
        "model_response": {"id": answer_id, "choices": [{"index": 0, "message": message}]},
        "total_calls_in_response": 1,
    }


class Replay:
    """The plan of one conversation's replay; the log alone says how far it is."""

    def __init__(self, recording: Sequence[JSONObject]) -> None:
        self._steps: list[list[NewEvent]] = []
        before: list[NewEvent] = []
        first_message_seen = False
        for item in recording:
            if item["source"] == EventSource.AGENT:
                self._steps.append([*before, self._action(item, number=len(self._steps))])
                before = []
            elif first_message_seen:
                before.append(self._action(item))
            else:
                first_message_seen = True

    @staticmethod
    def _action(item: JSONObject, number: int | None = None) -> NewEvent:
        body = _body(item)
        metadata = whole_metadata(item["tool_call_metadata"])
        if metadata is None and number is not None:
            metadata = made_up_metadata(body, answer_id=f"replayed-{number}")
        # seen_event_id 0: the recording answers its own first message and nothing that comes later.
        return NewEvent(
            source=EventSource(item["source"]),
            body=body,
            tool_call_metadata=metadata,
            seen_event_id=0,
        )

    def __len__(self) -> int:
        return len(self._steps)

    def step(self, number: int) -> list[NewEvent]:
        """Give what to store for the agent's action `number`: it, after the user's words."""
        return self._steps[number]


def first_message(recording: Sequence[JSONObject]) -> str:
    """Give the recorded task, empty where there is none."""
    for item in recording:
        if item["source"] == EventSource.USER:
            return str(item["args"].get("content") or "")
    return ""
