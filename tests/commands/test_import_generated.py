"""Logs of every order and kind: numbered densely, causes kept, nothing open. No database."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.agent.history import messages_of
from conversations.agent.position import Position
from conversations.agent.settling import leftovers
from conversations.events.base import Event, EventSource
from conversations.events.codec import event_from_row, event_to_wire
from conversations.events.states import WORKING_STATES, AgentState
from conversations.openhands_store.files import opened_store
from conversations.openhands_store.layout import walked
from conversations.openhands_store.log import StoredLog, log_read
from tests.commands.stores import (
    ID,
    JSON,
    TIME,
    Store,
    event,
    message,
    metrics,
    ran,
    run,
    state,
    tool_call,
)

UTC_START = datetime(2026, 3, 1, tzinfo=UTC)
sources = st.sampled_from(list(EventSource)).map(str)
words = st.text("abc \x00é\N{ROCKET}", max_size=8)
answers = st.none() | st.builds(tool_call, st.sampled_from("ab"), st.sampled_from("xy"))
unknown = st.sampled_from(["browse", "null", "recall", "delegate", "condensation", "run_ipython"])


@st.composite
def events(draw: st.DrawFn) -> list[tuple[int, JSON]]:
    """Give numbers with gaps, and an event for each."""
    numbers = sorted(draw(st.sets(st.integers(0, 40), max_size=12)))
    return [(number, draw(one_event(number))) for number in numbers]


def one_event(number: int) -> st.SearchStrategy[JSON]:
    causes = st.none() | st.integers(0, number)
    args: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
        words, words | st.integers() | st.none()
    )
    return st.one_of(
        st.builds(message, words, sources),
        st.builds(run, words, source=sources, tool_call_metadata=answers),
        st.builds(ran, causes, words, tool_call_metadata=answers, success=st.booleans()),
        st.builds(state, st.sampled_from(list(AgentState)).map(str)),
        st.builds(event, action=unknown, source=sources, args=args, message=words),
        st.builds(event, observation=unknown, cause=causes, content=words, extras=args),
        st.builds(message, words, st.just("agent")).map(
            lambda item: item | {"llm_metrics": metrics(0.5, 7, 3)}
        ),
    )


def as_imported(log: StoredLog) -> list[Event]:
    """Give the log as a loop reads it here, the added events at its end."""
    rows = [row for batch in log.batches() for row in batch]
    for number, row in enumerate(rows):
        wire = event_to_wire(row)
        assert wire["id"] == number
        assert wire["timestamp"].startswith(TIME)
        assert isinstance(wire["message"], str)
        assert "cause" not in wire or 0 <= wire["cause"] < number
    read = [event_from_row(row) for row in rows]
    for number, new in enumerate(log.closing, start=len(rows)):
        read.append(
            Event(
                event_id=number,
                timestamp=rows[-1].timestamp if rows else UTC_START,
                source=new.source,
                cause=new.cause,
                body=new.body,
            )
        )
    return read


@settings(max_examples=40, deadline=None)
@given(stored=events())
def test_any_log_comes_in_dense_settled_and_at_rest(stored: list[tuple[int, JSON]]) -> None:
    with tempfile.TemporaryDirectory() as path:
        store = Store(Path(path))
        store.conversation(*(item for _, item in stored), numbers=[number for number, _ in stored])
        with (
            opened_store(Path(path)) as opened,
            walked(opened, ("sessions", ID, "events")) as folder,
        ):
            log = log_read(folder, UTC)
            read = as_imported(log)
    new_ids = {number: new for new, (number, _) in enumerate(stored)}
    for imported, (number, item) in zip(read, stored, strict=False):
        cause = item.get("cause")
        kept = new_ids.get(cause) if cause is not None and cause < number else None
        assert imported.cause == kept
    position = Position()
    position.extend(read)
    state_seen = position.shown_state
    assert state_seen is not None
    assert state_seen not in WORKING_STATES
    assert leftovers(position) == []
    asks = state_seen is AgentState.AWAITING_USER_CONFIRMATION
    assert bool(position.unsettled) == asks
    assert position.next_user_command() is None
    settled = [new.cause for new in log.closing if new.cause is not None]
    assert len(settled) == len(set(settled))
    # What the LLM would read: each call has its one result.
    chat = messages_of(read)
    calls = sum(len(said.get("tool_calls") or ()) for said in chat)
    assert calls == sum(said["role"] == "tool" for said in chat)
