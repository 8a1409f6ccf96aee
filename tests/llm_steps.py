"""The steps a scripted LLM may take, and their bodies in OpenAI's form. No HTTP here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `arguments` is sent as it stands. As a step: an answer of this one call."""

    name: str
    arguments: Any
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of text, tool calls or both; `changes` replaces keys of the whole response."""

    content: str | None = None
    calls: tuple[Call, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Error:
    """An HTTP error in OpenAI's form."""

    status: int
    message: str
    headers: Mapping[str, str]
    code: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """Any bytes with status 200."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed without an answer; after `seconds`, or when the server stops."""

    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Delay:
    """A step that is taken `seconds` later."""

    seconds: float
    step: Step


@dataclass(frozen=True, slots=True)
class Gated:
    """A step that is taken when `event` is set."""

    step: Step
    event: threading.Event


Step = Call | Answer | Error | Body | Drop | Delay | Gated
#: A list answers one step a turn; a function finds the step in the request, so a repeat is safe.
Script = Sequence[Step] | Callable[[JSON], Step]


def text(content: str, **changes: Any) -> Answer:
    return Answer(content=content, changes=changes)


def calls(*several: Call, content: str | None = None, **changes: Any) -> Answer:
    return Answer(content=content, calls=several, changes=changes)


def run(command: str, **extra: Any) -> Call:
    return _call("execute_bash", command=command, **extra)


def create(path: str, file_text: str) -> Call:
    return _call("str_replace_editor", command="create", path=path, file_text=file_text)


def str_replace(path: str, old: str, new: str) -> Call:
    return _call("str_replace_editor", command="str_replace", path=path, old_str=old, new_str=new)


def view(path: str, **extra: Any) -> Call:
    return _call("str_replace_editor", command="view", path=path, **extra)


def think(thought: str) -> Call:
    return _call("think", thought=thought)


def finish(message: str, task_completed: str = "true") -> Call:
    return _call("finish", message=message, task_completed=task_completed)


def raw_call(name: str, arguments: Any, call_id: str | None = None) -> Call:
    """For unknown tools, broken JSON, and arguments that are not even text."""
    return Call(name, arguments, call_id)


def error(
    status: int,
    message: str = "the script says so",
    headers: Mapping[str, str] | None = None,
    *,
    code: str | None = None,
) -> Error:
    return Error(status, message, headers or {}, code)


def body(content: bytes, headers: Mapping[str, str] | None = None) -> Body:
    return Body(content, headers or {})


def drop() -> Drop:
    return Drop()


def hang(seconds: float) -> Drop:
    return Drop(seconds)


def delay(seconds: float, step: Step) -> Delay:
    return Delay(seconds, step)


def gated(step: Step, event: threading.Event) -> Gated:
    return Gated(step, event)


def _call(name: str, **arguments: Any) -> Call:
    return Call(name, json.dumps(arguments))


def completion(step: Answer | Call, model: str) -> JSON:
    """Give the response body of a step; ids are new each time."""
    answer = Answer(calls=(step,)) if isinstance(step, Call) else step
    message: JSON = {"role": "assistant", "content": answer.content}
    if answer.calls:
        message["tool_calls"] = [
            {
                "index": index,
                "id": f"call_{uuid4().hex}" if call.call_id is None else call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.calls)
        ]
    return {
        "id": f"chatcmpl-{uuid4()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if answer.calls else "stop",
                "message": message,
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        **answer.changes,
    }


def error_body(step: Error) -> JSON:
    return {"error": {"message": step.message, "type": "scripted", "code": step.code}}


def steps_from_json(document: str) -> list[Step]:
    """Read a list of {"text": …}, {"error": status, "message": …} or {tool name: arguments}."""
    return [_step_from_json(item) for item in json.loads(document)]


def _step_from_json(item: JSON) -> Step:
    if "text" in item:
        return text(item["text"])
    if "error" in item:
        return error(item["error"], item.get("message", ""))
    return calls(*(_call(name, **arguments) for name, arguments in item.items()))
