"""Whether an agent does the same again and again. Read from the log alone, as all else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import groupby
from typing import Final

from conversations.agent.limits import LimitReachedError
from conversations.agent.position import response_id
from conversations.events.base import Action, Event, EventSource, Observation

#: So many answers in a row. Whoever waits for a build asks some times, and sees the same.
SAME: Final = 8
#: So many answers, of which two take turns.
ALTERNATING: Final = 12
#: What is looked at has been done by that many events at most.
_TAIL: Final = 400

#: What an answer asked for, and what came back.
_Done = tuple[str, object, Observation]


def check_repetition(events: Sequence[Event], *, since: int) -> None:
    """Raise LimitReachedError where the last answers, behind the place `since`, did the same.

    What is compared is all that an answer asked for, refused calls included, with its outcomes,
    but for the thoughts beside it.
    """
    done = _answers(events, max(since + 1, len(events) - _TAIL))
    same, turns = done[-SAME:], done[-ALTERNATING:]
    repeats = len(same) == SAME and _are_equal(same)
    alternates = len(turns) == ALTERNATING and _are_equal(turns[::2]) and _are_equal(turns[1::2])
    if repeats or alternates:
        message = (
            "Agent repeats itself: the same actions had the same outcome again and again. It was "
            "paused. Send a message that helps it on, or resume it."
        )
        raise LimitReachedError(message)


def _answers(events: Sequence[Event], start: int) -> list[list[_Done]]:
    """Give what was done for each of the LLM's answers, in order."""
    done: list[tuple[str, _Done]] = []
    for event in events[start:]:
        if event.source is not EventSource.AGENT or not isinstance(event.body, Observation):
            continue
        # The log has no holes: an event stands at its number.
        asked = events[event.cause] if event.cause is not None else event
        done.append((response_id(asked) or "", (*_asked(asked), event.body)))
    return [[one for _, one in group] for _, group in groupby(done, key=lambda pair: pair[0])]


def _asked(event: Event) -> tuple[str, object]:
    """Give what an answer asked for; of a refused call its name and its text."""
    if isinstance(event.body, Action):
        return event.body.kind, _without_thought(event.body)
    metadata = event.tool_call_metadata or {}
    for choice in (metadata.get("model_response") or {}).get("choices") or ():
        for call in choice["message"].get("tool_calls") or ():
            if call["id"] == metadata.get("tool_call_id"):
                return "refused", (call["function"]["name"], call["function"]["arguments"])
    return "refused", None


def _without_thought(action: Action) -> Action:
    # Of a ThinkAction it is what was done.
    if action.kind != "think" and any(field.name == "thought" for field in fields(action)):
        return replace(action, thought="")  # type: ignore[call-arg]  # not of the base class
    return action


def _are_equal(done: Sequence[list[_Done]]) -> bool:
    return all(one == done[0] for one in done)
