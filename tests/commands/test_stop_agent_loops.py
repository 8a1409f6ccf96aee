"""`stop_agent_loops`: against rows, and against loops that run in a server's process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from conversations.models import Control, Conversation, LoopLease
from settings_app.models import User
from tests.commands.operating import KILLED, Done, call, conversation, start
from tests.killed_server import ORDER
from tests.log_checks import assert_settled_once
from tests.serving import CALM, Server
from tests.waiting import until_true

STOP = "stop_agent_loops"
FUTURE = "2100-01-01T00:00Z"


def states() -> dict[str, str]:
    return {pk.hex: state for pk, state in Conversation.objects.values_list("pk", "agent_state")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--idle", "--all"]),
        (["--all", "--idle", "3m"], ["one of these"]),
        (["0" * 32, "--all"], ["one of these"]),
        (["--idle", "3"], ["'3'", "30m"]),
        (["--all", "--wait", "-1"], ["--wait"]),
        (["--all", "--wait", "9999"], ["'9999'", "3600"]),
        (["none"], ["'none'"]),
        (["0" * 32], ["There is no conversation"]),
    ],
)
def test_bad_arguments_are_one_line(
    transactional_db: None, arguments: list[str], words: list[str]
) -> None:
    call(STOP, *arguments).refused(*words)


def test_a_dry_run_changes_nothing(user: User) -> None:
    wanted, rests = conversation(user, wanted=True), conversation(user)
    before = states()
    done = call(STOP, "--all", "--dry-run")
    assert f"{wanted.pk.hex}  would be stopped" in done.out
    assert rests.pk.hex not in done.out
    report = call(STOP, wanted.pk.hex, rests.pk.hex, "--dry-run", "--json").json
    outcomes = {item["conversation"]: item["outcome"] for item in report["items"]}
    assert outcomes == {wanted.pk.hex: "running", rests.pk.hex: "rested"}
    assert (report["dry_run"], report["stopped"]) == (True, 1)
    assert states() == before


def test_what_is_wanted_is_stopped_and_what_rests_is_left_alone(user: User) -> None:
    wanted, rests = conversation(user, wanted=True), conversation(user)
    report = call(STOP, wanted.pk.hex, rests.pk.hex, "--json").json
    assert (report["stopped"], report["not_stopped"]) == (1, 0)
    assert states() == {wanted.pk.hex: "stopped", rests.pk.hex: "awaiting_user_input"}
    again = call(STOP, "--all", "--json").json
    assert (again["stopped"], again["items"]) == (0, [])


def test_idle_is_without_a_new_event_for_that_long(user: User) -> None:
    old, new = conversation(user, days=1, wanted=True), conversation(user, wanted=True)
    assert call(STOP, "--idle", "30m").out.endswith("1 loops stopped.\n")
    assert states() == {old.pk.hex: "stopped", new.pk.hex: "awaiting_user_input"}


def test_what_has_not_ended_in_time_is_named(user: User) -> None:
    held = conversation(user, wanted=True)
    LoopLease.objects.filter(pk=held.pk).update(holder="x#1", lease_expires_at=FUTURE)
    done = call(STOP, "--all", "--wait", "0.1")
    assert done.code == 1
    assert f"{held.pk.hex}  not stopped" in done.out
    assert "have not ended after 0.1 seconds: 1" in done.err
    assert LoopLease.objects.get(pk=held.pk).control == Control.STOP


def test_after_kill_9_the_next_run_does_the_rest(user: User, tmp_path: Path) -> None:
    for _ in range(3):
        conversation(user, wanted=True)
    (tmp_path / ORDER).write_text(f"{max(states())} 4")
    assert start(tmp_path, STOP, "--all", entry=KILLED).code == -signal.SIGKILL
    assert set(states().values()) != {"stopped"}
    (tmp_path / ORDER).unlink()
    assert call(STOP, "--all").code == 0
    assert set(states().values()) == {"stopped"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "running", entry=CALM)
    server.start()
    yield server
    server.kill()


def test_loops_in_a_servers_process_are_stopped(running: Server) -> None:
    recording = '[{"source": "agent", "action": "run", "args": {"command": "touch a; sleep 90"}}]'
    ids = [running.create("", replay_json=recording) for _ in range(2)]
    for pk in ids:
        until_true((running.workspace(pk) / "a").exists)

    def stop(*arguments: str) -> Done:
        return start(running.data_dir, STOP, "--json", *arguments, database=running.database)

    assert stop("--idle", "1h").json["items"] == []
    done = stop("--all")
    assert done.code == 0, done.err
    assert {item["conversation"] for item in done.json["items"]} == set(ids)
    assert {item["outcome"] for item in done.json["items"]} == {"stopped"}
    for pk in ids:
        assert running.state(pk) == "stopped"
        assert_settled_once(running.trajectory(pk))
