"""`sanity_check`: finds and names each kind of corruption, and nothing in a sound store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from conversations.agent.settling import settlement, state_changed
from conversations.events.actions import RunAction
from conversations.events.base import EventSource, NewEvent
from conversations.events.codec import user_message
from conversations.events.observations import RunObservation
from conversations.events.states import AgentState
from conversations.models import Conversation
from conversations.services.event_log import event_append
from settings_app.models import User
from tests.commands.operating import call, conversation, start
from tests.commands.test_rotate_interrupted import Interruption
from tests.serving import CALM, Server
from tests.waiting import until_true

SANITY = "sanity_check"
EVENTS = "UPDATE conversations_eventrecord SET"
OWN = "UPDATE conversations_conversation SET"
LEASE = "UPDATE conversations_looplease SET"
PAST = "2020-01-01 00:00:00+00:00"
METRICS = {
    "accumulated_cost": 0.5,
    "accumulated_token_usage": {
        "model": "m",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    },
}


@pytest.fixture
def sound(user: User) -> Conversation:
    """Give a conversation of 7 events: message, run 1, its result 2, run 3, settled 4, states."""
    made = conversation(user, state="loading")
    command = RunAction(command="ls")
    event_append(
        conversation_id=made.pk,
        events=[
            NewEvent(source=EventSource.AGENT, body=command, llm_metrics=METRICS),
            NewEvent(
                source=EventSource.AGENT, body=RunObservation(command="ls", exit_code=0), cause=1
            ),
            NewEvent(source=EventSource.AGENT, body=command),
            settlement(3, "stopped"),
            state_changed(AgentState.RUNNING),
            state_changed(AgentState.FINISHED),
        ],
    )
    Conversation.objects.filter(pk=made.pk).update(
        accumulated_cost=0.75, prompt_tokens=12, completion_tokens=5, total_tokens=17
    )
    return made


def corrupt(pk: Any, statement: str, *values: Any) -> None:
    """Write as Handrail never does."""
    with connection.cursor() as cursor:
        uuid = pk if connection.vendor == "postgresql" else pk.hex
        column = "id" if "conversations_conversation" in statement else "conversation_id"
        where = " AND " if " WHERE " in statement else " WHERE "
        cursor.execute(f"{statement}{where}{column} = %s", [*values, uuid])


def test_a_sound_store_gives_nothing(user: User, sound: Conversation) -> None:
    other = conversation(user, state="loading")
    done = call(SANITY)
    assert (done.code, done.err) == (0, "")
    assert done.out == "2 conversations checked: nothing found.\n"
    assert call(SANITY, "--json").json == {"items": [], "checked": 2, "found": 0}
    assert call(SANITY, other.pk.hex, sound.pk.hex, sound.pk.hex, "--json").json["checked"] == 2


def test_bad_arguments_are_one_line(transactional_db: None) -> None:
    call(SANITY, "x").refused("'x'")
    call(SANITY, "0" * 32).refused("There is no conversation")
    call(SANITY, "--dry-run").refused("--dry-run")


CORRUPTIONS: list[tuple[str, tuple[Any, ...], str, int | None, str]] = [
    (f"{EVENTS} event_id = 9 WHERE event_id = 6", (), "dense", 9, "event 6 should stand here"),
    (f"{EVENTS} event_id = -1 WHERE event_id = 0", (), "dense", -1, "event 0 should"),
    (f"{OWN} last_event_id = 8", (), "last_event_id", None, "the log ends with 6"),
    (f"{OWN} agent_state = 'running'", (), "agent_state", None, "the log says 'finished'"),
    (f"{OWN} accumulated_cost = 0.25", (), "cost", None, "accumulated_cost is 0.25"),
    (f"{OWN} prompt_tokens = 9, total_tokens = 14", (), "tokens", None, "prompt_tokens is 9"),
    (f"{OWN} total_tokens = 1", (), "tokens", None, "total_tokens is 1"),
    (f"{EVENTS} cause = NULL WHERE event_id = 4", (), "settled", 3, "never settled"),
    (f"{EVENTS} cause = 1 WHERE event_id = 4", (), "settled", 4, "action 1 a second time"),
    (f"{EVENTS} cause = 5 WHERE event_id = 4", (), "cause", 4, "its cause 5 is not before it"),
    (f"{EVENTS} cause = 2 WHERE event_id = 4", (), "cause", 4, "its cause 2 is not an action"),
    ("DELETE FROM conversations_looplease", (), "lease", None, "no lease row"),
    (f"{LEASE} holder = 'x#0', lease_expires_at = %s", (PAST,), "holder", None, "epoch 0"),
    (f"{OWN} deleted_at = %s", (PAST,), "tombstone", None, "still there"),
    (f"{EVENTS} action = 'fly' WHERE event_id = 0", (), "payload", 0, "'fly' is unknown"),
    (f"{EVENTS} payload = '{{}}' WHERE event_id = 1", (), "payload", 1, "'args' is missing"),
    (f"{EVENTS} payload = '[]' WHERE event_id = 2", (), "payload", 2, "cannot be read"),
    (f"{EVENTS} source = 'moon' WHERE event_id = 0", (), "payload", 0, "moon"),
    (f"{EVENTS} observation = 'run' WHERE event_id = 0", (), "kind", 0, "not one of"),
]


@pytest.mark.parametrize(
    "corruption", CORRUPTIONS, ids=[corruption[0][7:] for corruption in CORRUPTIONS]
)
def test_each_corruption_is_found_and_named(
    user: User, sound: Conversation, corruption: tuple[str, tuple[Any, ...], str, int | None, str]
) -> None:
    statement, values, kind, event_id, words = corruption
    conversation(user, state="loading")
    corrupt(sound.pk, statement, *values)
    done = call(SANITY)
    assert done.code == 1
    where = sound.pk.hex if event_id is None else f"{sound.pk.hex}, event {event_id}:"
    (line,) = [line for line in done.out.splitlines() if words in line]
    assert where in line
    report = call(SANITY, "--json").json
    assert report["checked"] == 2
    assert report["found"] == len(report["items"])
    assert all(item["conversation"] == sound.pk.hex for item in report["items"])
    assert (kind, event_id) in {(item["kind"], item["event_id"]) for item in report["items"]}
    assert all(item["advice"] for item in report["items"])


@pytest.mark.parametrize(
    "statement",
    [
        f"{LEASE} requested = 1",
        f"{OWN} agent_state = 'awaiting_user_confirmation', last_event_id = 7",
        f"{OWN} epoch = 4",
    ],
    ids=["wanted", "confirmation", "left behind"],
)
def test_an_open_action_is_no_finding_while_a_turn_is_open(user: User, statement: str) -> None:
    made = conversation(user, state="loading")
    event_append(
        conversation_id=made.pk,
        events=[NewEvent(source=EventSource.AGENT, body=RunAction(command="ls"))],
    )
    if "confirmation" in statement:
        waiting = state_changed(AgentState.AWAITING_USER_CONFIRMATION)
        event_append(conversation_id=made.pk, events=[waiting])
        statement = f"{OWN} last_event_id = 2"
    if "epoch" in statement:
        corrupt(made.pk, f"{LEASE} holder = 'x#4', lease_expires_at = %s", PAST)
    corrupt(made.pk, statement)
    assert call(SANITY).code == 0


def test_a_large_log_has_its_findings_counted_not_listed(user: User) -> None:
    made = conversation(user, events=[user_message("x")] * 300, state="loading")
    corrupt(made.pk, f"{EVENTS} source = 'moon'")
    report = call(SANITY, "--json").json
    assert report["found"] == 101
    assert report["items"][-1]["what"] == "201 more like these"


def test_what_a_second_look_does_not_find_is_not_told(user: User, sound: Conversation) -> None:
    corrupt(sound.pk, f"{OWN} last_event_id = 8")
    mend = Interruption(lambda: corrupt(sound.pk, f"{OWN} last_event_id = 6"))
    with connection.execute_wrapper(_AfterFirst(mend)):
        assert call(SANITY).code == 0


class _AfterFirst:
    """Has something done before the statement that reads rows is sent a second time."""

    def __init__(self, mend: Callable[..., Any]) -> None:
        self._mend = mend
        self._reads = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._reads += "eventrecord" in sql
        if self._reads == 2:
            self._mend(lambda *_: None, "UPDATE", params, many, context)
        return execute(sql, params, many, context)


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "killed", entry=CALM, LEASE_SECONDS="1")
    server.start()
    yield server
    server.kill()


def test_a_server_killed_in_a_turn_and_its_recovery_leave_a_sound_store(killed: Server) -> None:
    def check() -> None:
        done = start(killed.data_dir, SANITY, "--json", database=killed.database)
        assert (done.code, done.json["checked"]) == (0, 1), done.out

    recording = (
        '[{"source": "agent", "action": "run", "args": {"command": "touch begun; sleep 60"}}]'
    )
    pk = killed.create("", replay_json=recording)
    until_true((killed.workspace(pk) / "begun").exists)
    check()
    killed.kill()
    check()
    killed.start()
    killed.wait_for_rest(pk)
    check()
    assert any("outcome is unknown" in str(event) for event in killed.trajectory(pk))
