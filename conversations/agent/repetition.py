"""Whether an agent does the same again and again. Read from the log alone, as all else is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

from conversations.agent.limits import LimitReachedError
from conversations.events.base import Action, Event, EventSource, Observation

#: So often the same action with the same outcome, one after the other.
_SAME: Final = 4
#: So many in which two such take turns.
_ALTERNATING: Final = 6
#: Actions of one answer stand before their observations: the tail of the log that is looked at.
_TAIL: Final = 64

_Done = tuple[Action | None, Observation]


def check_repetition(events: Sequence[Event], *, since: int) -> None:
    """Raise LimitReachedError where the last things done, behind the place `since`, are the same.

    A refused call counts as well: its outcome is the refusal. Thoughts are not compared.
    """
    done = _done(events[max(since + 1, len(events) - _TAIL) :])
    same, turns = done[-_SAME:], done[-_ALTERNATING:]
    repeats = len(same) == _SAME and _are_equal(same)
    alternates = len(turns) == _ALTERNATING and _are_equal(turns[::2]) and _are_equal(turns[1::2])
    if repeats or alternates:
        message = (
            "Agent repeats itself: the same actions had the same outcome again and again. It was "
            "paused. Send a message that helps it on, or resume it."
        )
        raise LimitReachedError(message)


def _done(events: Sequence[Event]) -> list[_Done]:
    """Give what was done with its outcome, in the order of the outcomes."""
    actions = {event.event_id: event.body for event in events if isinstance(event.body, Action)}
    done: list[_Done] = []
    for event in events:
        if event.source is not EventSource.AGENT or not isinstance(event.body, Observation):
            continue
        action = actions.get(event.cause) if event.cause is not None else None
        done.append((_without_thought(action) if action is not None else None, event.body))
    return done


def _without_thought(action: Action) -> Action:
    # Of a ThinkAction it is what was done.
    if action.kind != "think" and any(field.name == "thought" for field in fields(action)):
        return replace(action, thought="")  # type: ignore[call-arg]  # not of the base class
    return action


def _are_equal(done: Sequence[_Done]) -> bool:
    return all(one == done[0] for one in done)
