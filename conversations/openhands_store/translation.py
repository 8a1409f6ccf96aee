"""From an event of the original, as its file has it, to a row here. It reads no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, NoReturn

from conversations.agent.replay import WITHOUT_EFFECT, made_up_metadata, whole_metadata
from conversations.events.actions import ACTIONS, EditAction
from conversations.events.base import Action, EventSource, JSONObject
from conversations.events.cleaning import clean
from conversations.events.codec import (
    IMPORTED_FIELDS,
    IMPORTED_ID,
    IMPORTED_MESSAGE,
    EventRow,
    body_from_row,
    event_message,
)
from conversations.events.observations import OBSERVATIONS
from conversations.exceptions import DamagedStoreError, InvalidEventError
from conversations.openhands_store.metadata import is_number, time_of

#: The longest word for a kind that its column takes.
MAX_KIND = 32
_OWN_PLACE = frozenset(
    {"id", "timestamp", "source", "message", "cause", "action", "observation"}
    | {"llm_metrics", "tool_call_metadata"}
)
_SAYS = {"action": ("args",), "observation": ("content", "extras")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """Translates the events of one conversation."""

    #: The number here of each event, by its number there.
    new_ids: Mapping[int, int]
    #: What naive times mean.
    zone: tzinfo
    #: Called with what was mended, and in which file.
    note: Callable[[str, str], None]

    def row(self, data: Any, *, number: int, where: str) -> EventRow:
        """Give the row of an event. Raises DamagedStoreError that names the file."""
        try:
            cleaned = clean(data)
            if cleaned != data:
                self.note(where, "had characters or numbers that no database keeps; replaced")
            return self._row(cleaned, number, where)
        except RecursionError as error:
            raise DamagedStoreError(where, "is nested too deeply") from error

    def _row(self, data: Any, number: int, where: str) -> EventRow:
        if not isinstance(data, dict):
            _refuse(where, "is not a JSON object")
        if data.get("id", number) != number or isinstance(data.get("id"), bool):
            _refuse(where, "has another id in it than its name says")
        side, kind = _kind(data, where)
        if data.get("source") not in list(EventSource):
            _refuse(where, "source is not one of user, agent, environment")
        try:
            timestamp = time_of(data.get("timestamp"), self.zone)
        except (ValueError, OverflowError):
            _refuse(where, "timestamp is not a time")
        row = EventRow(
            event_id=self.new_ids[number],
            timestamp=timestamp,
            source=data["source"],
            action=kind if side == "action" else "",
            observation=kind if side == "observation" else "",
            cause=self._cause(data, number, where),
            payload={**_said(data, side, where), IMPORTED_ID: number},
        )
        body = _known_body(row, where)
        self._add_answer(row, data, body, where)
        _add_text(row, data, where)
        kept = {k: v for k, v in data.items() if k not in _OWN_PLACE and k not in _SAYS[side]}
        if kept:
            row.payload[IMPORTED_FIELDS] = kept
        return row

    def _cause(self, data: JSONObject, number: int, where: str) -> int | None:
        cause = data.get("cause")
        if cause is None:
            return None
        if isinstance(cause, bool) or not isinstance(cause, int):
            _refuse(where, "cause is not a whole number")
        if cause >= number or cause not in self.new_ids:
            self.note(where, f"names {str(cause)[:20]} as its cause, which is not there; left out")
            return None
        return self.new_ids[cause]

    def _add_answer(self, row: EventRow, data: JSONObject, body: Action | None, where: str) -> None:
        """Keep what is known of the LLM's answer, in the form that the agent goes on from."""
        metrics = data.get("llm_metrics")
        if metrics is not None:
            if usage_in(metrics) is None:
                self.note(where, "has llm_metrics that are no numbers; left out")
            else:
                row.payload["llm_metrics"] = metrics
        given = data.get("tool_call_metadata")
        metadata = whole_metadata(given)
        if given is not None and metadata is None:
            self.note(where, "has a tool_call_metadata that is not whole; left out")
        from_agent = bool(row.action) and row.source == EventSource.AGENT
        if metadata is None and from_agent and body is not None:
            metadata = made_up_metadata(body, answer_id=f"imported-{row.event_id}")
        if metadata is not None:
            row.payload["tool_call_metadata"] = metadata
        if from_agent and row.action not in WITHOUT_EFFECT:
            # What stands before it was read by then: nobody answers an old message once more.
            row.payload["seen_event_id"] = row.event_id - 1


def _refuse(where: str, what: str) -> NoReturn:
    raise DamagedStoreError(where, what)


def _kind(data: JSONObject, where: str) -> tuple[str, str]:
    sides = [side for side in ("action", "observation") if data.get(side)]
    if len(sides) != 1:
        _refuse(where, "must be either an action or an observation")
    kind = data[sides[0]]
    if not isinstance(kind, str) or len(kind) > MAX_KIND:
        _refuse(where, f"{sides[0]} is not a word of at most {MAX_KIND} characters")
    return sides[0], kind


def _said(data: JSONObject, side: str, where: str) -> JSONObject:
    if side == "action":
        args = data.get("args", {})
        if not isinstance(args, dict):
            _refuse(where, "args is not an object")
        return {"args": args}
    content, extras = data.get("content", ""), data.get("extras", {})
    if not isinstance(content, str):
        _refuse(where, "content is not a string")
    if not isinstance(extras, dict) or not isinstance(extras.get("metadata"), dict | None):
        _refuse(where, "extras is not an object")
    return {"content": content, "extras": extras}


def _known_body(row: EventRow, where: str) -> Action | None:
    """Check an event of a kind that clients read the fields of; give an action that is ours."""
    if row.action not in ACTIONS and row.observation not in OBSERVATIONS:
        return None
    try:
        body = body_from_row(row)
    except InvalidEventError as error:
        # The original has a second form of edits, with the lines and no command.
        if row.action == EditAction.kind and isinstance(row.payload["args"].get("path"), str):
            return None
        # The kind and the field, never the value.
        raise DamagedStoreError(where, f"cannot be shown: {error}") from error
    return body if isinstance(body, Action) else None


def _add_text(row: EventRow, data: JSONObject, where: str) -> None:
    text = data.get("message", "")
    if not isinstance(text, str):
        _refuse(where, "message is not a string")
    try:
        composed = event_message(row)
    except (LookupError, TypeError):
        composed = None
    if text != composed and ("message" in data or composed is None):
        row.payload[IMPORTED_MESSAGE] = text


def usage_in(metrics: Any) -> tuple[float | None, int, int] | None:
    """Give cost, prompt and completion tokens so far; None where they are no numbers."""
    if not isinstance(metrics, dict):
        return None
    cost, tokens = metrics.get("accumulated_cost"), metrics.get("accumulated_token_usage")
    if tokens is None:
        tokens = {}
    if not isinstance(tokens, dict) or not (cost is None or is_number(cost)):
        return None
    names = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")
    if not all(is_number(tokens.get(name, 0)) for name in names):
        return None
    return cost, int(tokens.get("prompt_tokens", 0)), int(tokens.get("completion_tokens", 0))
