"""Between an event, its row and the wire. It knows CONTRACT section 6; it knows no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from conversations.events.actions import ACTIONS, MessageAction
from conversations.events.base import Action, Event, EventSource, JSONObject, NewEvent, Observation
from conversations.events.foreign import (
    ForeignAction,
    ForeignExecutableAction,
    ForeignObservation,
)
from conversations.events.observations import OBSERVATIONS, RunObservation
from conversations.exceptions import InvalidEventError

#: Keys of the payload of an event that came from another server's store: its number there, its own
#: one-line text where ours would be another, and its top-level fields that we have no place for.
IMPORTED_ID, IMPORTED_MESSAGE, IMPORTED_FIELDS = "imported_id", "message", "other"

#: What the original's run observation carries in `extras.metadata` beside what we know.
_METADATA = {
    "pid": -1,
    "username": None,
    "hostname": None,
    "py_interpreter_path": None,
    "prefix": "",
    "suffix": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event's columns: exactly what EventRecord stores, in types of the standard library."""

    event_id: int
    timestamp: datetime
    source: str
    action: str
    observation: str
    cause: int | None
    payload: JSONObject


_BODIES: tuple[type[Action] | type[Observation], ...] = (
    *ACTIONS.values(),
    *OBSERVATIONS.values(),
)
_ADAPTERS: dict[object, TypeAdapter[Any]] = {cls: TypeAdapter(cls) for cls in _BODIES}


def body_from_fields(cls: type[Action] | type[Observation], values: Mapping[str, Any]) -> Any:
    """Build a body from the wire's values; unknown keys are left out.

    Raises InvalidEventError that names the kind, the field and what is wrong with it.
    """
    known = {field.name for field in fields(cls)}
    try:
        return _ADAPTERS[cls].validate_python({k: v for k, v in values.items() if k in known})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "args"
        message = f"{cls.kind}: {where}: {first['msg']}"
        raise InvalidEventError(message) from error


def _extras(body: Observation) -> JSONObject:
    extras = asdict(body)
    del extras["content"]
    if isinstance(body, RunObservation):
        metadata = {"exit_code": extras.pop("exit_code"), "working_dir": extras.pop("working_dir")}
        extras["metadata"] = metadata | _METADATA
    return extras


def payload_of(event: NewEvent) -> JSONObject:
    """Give the event's own keys as they are stored."""
    payload: JSONObject
    if isinstance(event.body, Action):
        payload = {"args": asdict(event.body)}
    else:
        payload = {"content": event.body.content, "extras": _extras(event.body)}
    for key in ("llm_metrics", "tool_call_metadata", "seen_event_id"):
        value = getattr(event, key)
        if value is not None:
            payload[key] = value
    return payload


def body_from_row(row: EventRow) -> Action | Observation:
    """Read what a stored event says. Raises InvalidEventError where we have no type for it."""
    body: Action | Observation
    if row.action:
        if row.action not in ACTIONS:
            message = f"event {row.event_id}: action {row.action!r} is unknown"
            raise InvalidEventError(message)
        body = body_from_fields(ACTIONS[row.action], _given(row.payload["args"]))
        return body
    if row.observation not in OBSERVATIONS:
        message = f"event {row.event_id}: observation {row.observation!r} is unknown"
        raise InvalidEventError(message)
    extras = row.payload["extras"]
    values = extras | (extras.get("metadata") or {}) | {"content": row.payload["content"]}
    body = body_from_fields(OBSERVATIONS[row.observation], _given(values))
    return body


def _given(values: JSONObject) -> JSONObject:
    # The original writes null for what an event has not; our defaults say the same.
    return {key: value for key, value in values.items() if value is not None}


def _foreign_body(row: EventRow) -> Action | Observation:
    if row.observation:
        return ForeignObservation(name=row.observation, content=row.payload["content"])
    known = ACTIONS.get(row.action)
    if known is not None and known.executable:
        return ForeignExecutableAction(name=row.action)
    return ForeignAction(name=row.action)


def event_from_row(row: EventRow) -> Event:
    """Read a stored event; one of another server's may be foreign.

    Raises InvalidEventError for a kind of our own that this version does not know.
    """
    try:
        body = body_from_row(row)
    except InvalidEventError:
        # A newer version of ours may have written it: then an older one must not go on.
        if IMPORTED_ID not in row.payload:
            raise
        body = _foreign_body(row)
    return Event(
        event_id=row.event_id,
        timestamp=row.timestamp,
        source=EventSource(row.source),
        cause=row.cause,
        body=body,
        llm_metrics=row.payload.get("llm_metrics"),
        tool_call_metadata=row.payload.get("tool_call_metadata"),
        seen_event_id=row.payload.get("seen_event_id"),
        imported=IMPORTED_ID in row.payload,
    )


_ACTION_TEXT: dict[str, Callable[[JSONObject], str]] = {
    "message": lambda args: str(args["content"]),
    "run": lambda args: f"Running command: {args['command']}",
    "read": lambda args: f"Reading file: {args['path']}",
    "edit": lambda args: f"Editing file: {args['path']}",
    "write": lambda args: f"Writing file: {args['path']}",
    "think": lambda args: str(args["thought"]),
    "finish": lambda args: str(args["final_thought"] or "The task is finished."),
}
_OBSERVATION_TEXT: dict[str, Callable[[str, JSONObject], str]] = {
    "agent_state_changed": lambda _, extras: str(extras["reason"]),
    "run": lambda _, extras: (
        f"Command `{extras['command']}` executed with exit code {extras['metadata']['exit_code']}."
    ),
    "read": lambda _, extras: f"I read the file {extras['path']}.",
    "edit": lambda _, extras: f"I edited the file {extras['path']}.",
    "write": lambda _, extras: f"I wrote the file {extras['path']}.",
}


def event_message(row: EventRow) -> str:
    """Compose the one-line text that stands at an event's top level, or give its own."""
    if IMPORTED_MESSAGE in row.payload:
        return str(row.payload[IMPORTED_MESSAGE])
    if row.action:
        action_text = _ACTION_TEXT.get(row.action)
        return action_text(row.payload["args"]) if action_text else ""
    content = str(row.payload["content"])
    text = _OBSERVATION_TEXT.get(row.observation)
    return text(content, row.payload["extras"]) if text else content


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def event_shows(row: EventRow, text: str) -> bool:
    """Whether clients see `text`, in either case, in the event's own fields or its message."""
    wanted = text.casefold()
    own = [row.payload.get(key) for key in ("args", "content", "extras")]
    return any(wanted in shown.casefold() for shown in _texts([event_message(row), *own]))


def event_to_wire(row: EventRow, *, with_metadata: bool = False) -> JSONObject:
    """Give the event as clients see it (CONTRACT section 6); the trajectory adds the metadata."""
    wire: JSONObject = {
        **row.payload.get(IMPORTED_FIELDS, {}),
        "id": row.event_id,
        "timestamp": row.timestamp.isoformat(),
        "source": row.source,
        "message": event_message(row),
    }
    if row.cause is not None:
        wire["cause"] = row.cause
    if row.action:
        wire["action"] = row.action
        wire["args"] = row.payload["args"]
    else:
        wire["observation"] = row.observation
        wire["content"] = row.payload["content"]
        wire["extras"] = row.payload["extras"]
    if "llm_metrics" in row.payload:
        wire["llm_metrics"] = row.payload["llm_metrics"]
    if with_metadata and "tool_call_metadata" in row.payload:
        wire["tool_call_metadata"] = row.payload["tool_call_metadata"]
    return wire


def user_message(content: str, image_urls: tuple[str, ...] = ()) -> NewEvent:
    """Give a user's message as an event."""
    return NewEvent(
        source=EventSource.USER,
        body=MessageAction(content=content, image_urls=image_urls),
    )
