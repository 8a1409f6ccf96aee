"""A conversation's events as people read them, the newest first. It shows; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from conversations.events.actions import ACTIONS
from conversations.events.cleaning import clean, maskable
from conversations.events.codec import EventRow
from conversations.events.observations import OBSERVATIONS
from conversations.selectors import EventFilter, event_page

PAGE: Final = 30
#: Events that one page of a kind looks through.
STRETCH: Final = 5_000
#: Characters of one text; the export has all.
_SHOWN: Final = 6_000
KINDS: Final = tuple(sorted({*ACTIONS, *OBSERVATIONS}))
_DIFF: Final = {"+": "added", "-": "removed", "@": "place"}
#: Fields that are texts of their own, in the order in which they are read.
_TEXTS: Final = (
    *("thought", "content", "command", "file_text", "old_str", "new_str"),
    *("final_thought", "reason"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A text of an event. `lines` is there for a diff: each with its class."""

    label: str
    text: str
    look: str
    left_out: int = 0
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """An event on the page."""

    event_id: int
    timestamp: datetime
    source: str
    kind: str
    is_action: bool
    cause: int | None
    summary: str
    blocks: tuple[Block, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """A page of events, and where the next one begins."""

    events: list[Shown]
    next_id: int | None


def timeline(*, conversation_id: UUID, last_id: int, kind: str, secrets: Iterable[str]) -> Timeline:
    """Read the newest events from `last_id` down, masked once more. One query."""
    first = max(0, last_id - STRETCH) if kind else 0
    wanted = EventFilter(start_id=first, end_id=last_id, reverse=True, kind=kind)
    rows, next_id = event_page(conversation_id=conversation_id, wanted=wanted, limit=PAGE)
    if next_id is None and first > 0:
        next_id = first - 1
    masked = maskable(secrets)
    return Timeline([_shown(row, masked) for row in rows], next_id)


def _shown(row: EventRow, secrets: tuple[str, ...]) -> Shown:
    payload = clean(row.payload, secrets)
    fields = dict(payload.get("args") or payload.get("extras") or {})
    if "content" in payload:
        fields["content"] = payload["content"]
    kind = row.action or row.observation
    exit_code = (fields.get("metadata") or {}).get("exit_code")
    return Shown(
        event_id=row.event_id,
        timestamp=row.timestamp,
        source=row.source,
        kind=kind,
        is_action=bool(row.action),
        cause=row.cause,
        summary=_summary(kind, fields, exit_code),
        blocks=tuple(_blocks(row, fields)),
        failed=kind == "error" or fields.get("agent_state") == "error" or bool(exit_code),
    )


def _summary(kind: str, fields: dict[str, Any], exit_code: int | None) -> str:
    if state := fields.get("agent_state"):
        return str(state).replace("_", " ")
    if exit_code is not None:
        return f"exit code {exit_code}"
    images = fields.get("image_urls") or ()
    parts = [str(fields["path"])] if fields.get("path") else []
    if kind == "edit" and isinstance(fields.get("command"), str):
        parts.append(fields["command"].replace("_", " "))
    if images:
        # Their number only: a page of ours loads nothing from elsewhere.
        parts.append(f"{len(images)} image" + "s" * (len(images) > 1))
    return " · ".join(parts)


def _blocks(row: EventRow, fields: dict[str, Any]) -> Iterable[Block]:
    if diff := fields.get("diff"):
        yield _diff(str(diff))
        return
    for name in _TEXTS:
        text = fields.get(name)
        if not isinstance(text, str) or not text or _is_said_before(row, name):
            continue
        yield Block(name.replace("_", " "), text[:_SHOWN], _look(row, name), _rest(text))


def _is_said_before(row: EventRow, name: str) -> bool:
    # A command stands in its action; an edit's is a word of the summary.
    return name == "command" and (bool(row.observation) or row.action == "edit")


def _look(row: EventRow, name: str) -> str:
    if name == "command":
        return "command"
    prose = row.action in {"message", "think", "finish"} or name in {"thought", "reason"}
    return "prose" if prose else "output"


def _diff(text: str) -> Block:
    lines = tuple((_line_look(line), line) for line in text[:_SHOWN].splitlines())
    return Block("diff", "", "diff", _rest(text), lines)


def _line_look(line: str) -> str:
    # The two lines that name the files are no change.
    return "place" if line.startswith(("--- ", "+++ ")) else _DIFF.get(line[:1], "")


def _rest(text: str) -> int:
    return max(0, len(text) - _SHOWN)
