"""From the log to what the LLM reads: a read-only projection, valid for every provider."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from conversations.agent.position import response_id
from conversations.agent.prompts import SYSTEM_PROMPT
from conversations.events.actions import FinishAction, MessageAction, RunAction
from conversations.events.base import Event, EventSource, Observation
from conversations.events.observations import (
    AgentStateChangedObservation,
    ErrorObservation,
    RunObservation,
)

#: Characters of one observation that the LLM gets to see.
MAX_RESULT_CHARS = 30_000
#: The images that every provider takes.
_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,.")
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_MOVED = (
    "[This conversation was moved here from another server. What was in its workspace and its "
    "shell there did not come along; look before you rely on a file.]"
)
_NO_RESULT = "This call was not carried out."

Message = dict[str, Any]


def _cut(text: str) -> str:
    if len(text) <= MAX_RESULT_CHARS:
        return text
    half = MAX_RESULT_CHARS // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[… {left_out} characters left out …]\n{text[-half:]}"


def _result_text(observation: Observation) -> str:
    text = _cut(observation.content)
    if isinstance(observation, RunObservation):
        return f"{text}\n[exit code {observation.exit_code}, in {observation.working_dir}]"
    if isinstance(observation, ErrorObservation):
        return f"ERROR: {text}"
    return text or "Done."


class _Results:
    """What came of each call and command, read once for a whole history."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.by_cause = {e.cause: e.body for e in events if e.cause is not None}
        self._by_call: dict[tuple[str | None, str], str] = {}
        for event in events:
            call_id = (event.tool_call_metadata or {}).get("tool_call_id")
            if not call_id or event.cause is not None:
                continue
            body = self.by_cause.get(event.event_id, event.body)
            # By answer too: recordings use a call's id again.
            key = (response_id(event), call_id)
            if isinstance(body, FinishAction):
                self._by_call[key] = "The task was ended."
            elif isinstance(body, Observation):
                self._by_call[key] = _result_text(body)

    def of(self, answer: str | None, call_id: str) -> str:
        return self._by_call.get((answer, call_id), _NO_RESULT)


def _user_message(body: MessageAction) -> Message:
    images = [url for url in body.image_urls or () if _IMAGE.match(url)]
    left_out = len(body.image_urls or ()) - len(images)
    text = body.content + (f"\n[{left_out} images in another form left out]" if left_out else "")
    if not images:
        return {"role": "user", "content": text or "(empty message)"}
    parts: list[Message] = [{"type": "text", "text": text}] if text else []
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"role": "user", "content": parts}


def _user_command(event: Event, body: RunAction, results: _Results) -> Message:
    result = results.by_cause.get(event.event_id)
    text = _result_text(result) if isinstance(result, Observation) else "(not yet run)"
    return {"role": "user", "content": f"[I ran a command myself]\n$ {body.command}\n{text}"}


def _arguments(text: Any) -> str:
    """Give arguments that a provider accepts: some refuse a history with broken JSON in it."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return json.dumps({"invalid": str(text)})
    return json.dumps(value) if isinstance(value, dict) else json.dumps({"invalid": value})


def _answer(event: Event, results: _Results) -> list[Message]:
    metadata = event.tool_call_metadata or {}
    answer_id = response_id(event)
    message = metadata["model_response"]["choices"][0]["message"]
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {
                # A name that the model made up may be one that providers refuse to read again.
                "name": _NOT_A_NAME.sub("_", call["function"]["name"] or "")[:64] or "unknown",
                "arguments": _arguments(call["function"]["arguments"]),
            },
        }
        for call in message.get("tool_calls") or []
    ]
    answer: Message = {
        "role": "assistant",
        "content": message.get("content") or None,
        "tool_calls": calls,
    }
    return [
        answer,
        *(
            {
                "role": "tool",
                "tool_call_id": call["id"],
                "content": results.of(answer_id, call["id"]),
            }
            for call in calls
        ),
    ]


def _order(events: Sequence[Event]) -> list[Event]:
    """Put what came from the user while the LLM was answering after that answer.

    The log has the order of arrival; the LLM must read its answer before what it had not seen.
    """

    def key(event: Event) -> tuple[int, int]:
        if event.seen_event_id is None:
            return event.event_id, -1
        return event.seen_event_id, event.event_id

    return sorted(events, key=key)


def messages_of(events: Sequence[Event]) -> list[Message]:
    """Give the chat that the LLM is asked to go on with; every tool call has exactly one result."""
    results = _Results(events)
    answered: set[str] = set()
    chat: list[Message] = [{"role": "system", "content": SYSTEM_PROMPT}]
    moved = False
    for event in _order(events):
        if moved and not event.imported:
            chat.append({"role": "user", "content": _MOVED})
        moved = event.imported
        answer = response_id(event)
        if answer is not None:
            if answer not in answered and event.cause is None:
                answered.add(answer)
                chat += _answer(event, results)
        else:
            chat += _plain(event, results)
    return chat


def _plain(event: Event, results: _Results) -> list[Message]:
    body = event.body
    if isinstance(body, AgentStateChangedObservation):
        return []
    if event.source is EventSource.USER:
        if isinstance(body, MessageAction):
            return [_user_message(body)]
        if isinstance(body, RunAction):
            return [_user_command(event, body, results)]
    if isinstance(body, MessageAction | FinishAction):
        content = body.content if isinstance(body, MessageAction) else body.final_thought
        return [{"role": "assistant", "content": content}]
    return []
