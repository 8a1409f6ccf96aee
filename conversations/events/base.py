"""The two halves of an event: what it says (its body) and where it stands. No storage here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

JSONObject = dict[str, Any]


class EventSource(StrEnum):
    """Who an event comes from."""

    USER = "user"
    AGENT = "agent"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that is asked for: a command, an edit, a message."""

    #: The word on the wire, `action`.
    kind: ClassVar[str]
    #: True for what is carried out, and so has to be settled by exactly one observation.
    executable: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What came back, or what changed."""

    #: The word on the wire, `observation`.
    kind: ClassVar[str]
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event on its way into the log: it has no number and no time yet."""

    body: Action | Observation
    source: EventSource
    #: The id of the action that an observation settles.
    cause: int | None = None
    #: Cost and tokens so far, as the web client shows them (CONTRACT section 6).
    llm_metrics: JSONObject | None = None
    #: The LLM's answer that this event comes from, in OpenHands' recorded form.
    tool_call_metadata: JSONObject | None = None
    #: The newest event that the LLM had seen when it gave this answer; never leaves the server.
    seen_event_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(NewEvent):
    """A stored event. It never changes."""

    event_id: int
    timestamp: datetime
    #: It happened on another server: what it did to files was done there.
    imported: bool = False
