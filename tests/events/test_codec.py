"""Events, their rows and the wire, on generated input. No database."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.events.actions import (
    ACTIONS,
    EditAction,
    FinishAction,
    MessageAction,
    RunAction,
    ThinkAction,
)
from conversations.events.base import Action, EventSource, JSONObject, NewEvent, Observation
from conversations.events.cleaning import MASK, clean, maskable
from conversations.events.codec import EventRow, event_from_row, event_to_wire, payload_of
from conversations.events.foreign import (
    ForeignAction,
    ForeignExecutableAction,
    ForeignObservation,
)
from conversations.events.observations import (
    OBSERVATIONS,
    AgentStateChangedObservation,
    EditObservation,
    ErrorObservation,
    RunObservation,
)
from conversations.events.states import AgentState
from conversations.exceptions import InvalidEventError

texts = st.text(max_size=40).map(clean)
actions = st.one_of(
    st.builds(RunAction, command=texts, thought=texts, timeout=st.none() | st.floats(0, 999)),
    st.builds(MessageAction, content=texts, image_urls=st.none() | st.tuples(texts)),
    st.builds(
        EditAction, path=texts, command=st.sampled_from(["create", "insert"]), file_text=texts
    ),
    st.builds(ThinkAction, thought=texts),
)
observations = st.one_of(
    st.builds(RunObservation, content=texts, command=texts, exit_code=st.integers(-1, 255)),
    st.builds(AgentStateChangedObservation, agent_state=st.sampled_from(AgentState), reason=texts),
    st.builds(EditObservation, content=texts, path=texts, diff=texts),
    st.builds(ErrorObservation, content=texts),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def row_of(event: NewEvent) -> EventRow:
    """Give the row as a database would give it back."""
    is_action = isinstance(event.body, Action)
    return EventRow(
        event_id=7,
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        source=event.source.value,
        action=event.body.kind if is_action else "",
        observation="" if is_action else event.body.kind,
        cause=event.cause,
        payload=json.loads(json.dumps(payload_of(event))),
    )


@given(body=actions | observations, seen=st.none() | st.integers(0, 99))
def test_what_is_stored_is_what_is_read(body: Action | Observation, seen: int | None) -> None:
    event = NewEvent(source=EventSource.AGENT, body=body, cause=3, seen_event_id=seen)
    read = event_from_row(row_of(event))
    assert (read.body, read.cause, read.seen_event_id) == (body, 3, seen)


@given(body=actions | observations)
def test_the_wire_has_what_the_web_client_reads_and_nothing_of_ours(
    body: Action | Observation,
) -> None:
    event = NewEvent(source=EventSource.AGENT, body=body, cause=3, seen_event_id=5)
    wire = event_to_wire(row_of(event))
    assert json.loads(json.dumps(wire)) == wire
    assert isinstance(wire["message"], str)
    # Keys only: a generated text may be any word of the code's, this one too.
    assert "seen_event_id" not in {*wire, *wire.get("args", {}), *wire.get("extras", {})}
    assert ("action" in wire) is isinstance(body, Action)
    if isinstance(body, RunObservation):
        assert wire["extras"]["metadata"]["exit_code"] == body.exit_code
        assert "exit_code" not in wire["extras"]


@given(value=json_values)
def test_what_is_clean_can_be_stored_anywhere(value: object) -> None:
    text = json.dumps(clean(value), allow_nan=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    clean_text = json.dumps(clean(value), ensure_ascii=False)
    assert clean_text.encode().decode() == clean_text


@given(value=json_values, secret=st.text("abcdef0123456789", min_size=6, max_size=20))
def test_a_secret_is_found_at_any_depth(value: object, secret: str) -> None:
    planted = {"deep": [value, {f"key {secret}": [f"x{secret}y", (secret,)]}]}
    cleaned = clean(planted, maskable([secret, "short"]))
    assert secret not in json.dumps(cleaned["deep"][1])
    assert MASK in json.dumps(cleaned)


def foreign_row(payload: JSONObject, *, action: str = "", observation: str = "") -> EventRow:
    return EventRow(
        event_id=3,
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        source="agent",
        action=action,
        observation=observation,
        cause=None,
        payload=payload,
    )


def test_what_came_from_another_server_is_shown_as_it_was_and_read_as_foreign() -> None:
    browse = {"args": {"url": "x"}, "imported_id": 9, "message": "I go", "other": {"timeout": 1}}
    wire = event_to_wire(foreign_row(browse, action="browse"))
    assert (wire["id"], wire["message"], wire["timeout"]) == (3, "I go", 1)
    assert "imported_id" not in wire
    read = event_from_row(foreign_row(browse, action="browse"))
    assert read.body == ForeignAction(name="browse")
    edit = {"args": {"path": "x", "content": "y", "command": ""}, "imported_id": 9}
    assert event_from_row(foreign_row(edit, action="edit")).body == ForeignExecutableAction(
        name="edit"
    )
    recall = {"content": "c", "extras": {}, "imported_id": 9}
    assert event_from_row(foreign_row(recall, observation="recall")).body == ForeignObservation(
        name="recall", content="c"
    )


def test_an_unknown_kind_of_our_own_is_refused() -> None:
    with pytest.raises(InvalidEventError, match="action 'browse' is unknown"):
        event_from_row(foreign_row({"args": {}}, action="browse"))


def test_null_says_that_an_event_has_not_got_it() -> None:
    finish = {"args": {"final_thought": "Done.", "task_completed": None}, "imported_id": 1}
    assert event_from_row(foreign_row(finish, action="finish")).body == FinishAction(
        final_thought="Done."
    )


def test_every_kind_has_its_own_word() -> None:
    assert len(ACTIONS) == 7
    assert len(OBSERVATIONS) == 8
    assert not set(ACTIONS) & {"agent_state_changed", "error", "user_rejected"}
