"""`purge_conversations`: what is old goes, by the service's delete; what runs stays."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from conversations.models import Conversation, EventRecord, LoopLease
from conversations.services.messages import message_send
from conversations.services.presence import Presence, is_swept
from conversations.services.workspaces import workspace_ensure, workspace_path
from settings_app.models import User
from tests.commands.operating import KILLED, alive, call, conversation, start
from tests.commands.test_rotate_interrupted import Interruption
from tests.databases import rows_of
from tests.killed_server import ORDER
from tests.scripted_llm import ScriptedLLMServer, calls, finish, run
from tests.serving import Server, free_port
from tests.waiting import until_true

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

PURGE = "purge_conversations"


@pytest.fixture(autouse=True)
def _folder(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--older-than"]),
        (["--older-than", "soon"], ["'soon'", "30d"]),
        (["--older-than", "0d"], ["'0d'"]),
        (["--older-than", "99999999999d"], ["--older-than"]),
        (["--older-than", "1d", "--state", "asleep"], ["asleep", "finished"]),
        (["--older-than", "1d", "--owner", "nobody"], ["--owner nobody", "no such user"]),
        (["--older-than", "1d", "--all"], ["--all"]),
    ],
)
def test_bad_arguments_are_one_line(user: User, arguments: list[str], words: list[str]) -> None:
    conversation(user, days=40)
    call(PURGE, *arguments).refused(*words)
    assert len(alive()) == 1


def test_a_process_with_bad_arguments_ends_with_2(transactional_db: None, tmp_path: Path) -> None:
    start(tmp_path, PURGE, "--older-than", "soon").refused("'soon'")
    start(tmp_path, PURGE, "--older-than", "1d", "--owner", "nobody").refused("--owner nobody")


def test_a_dry_run_says_what_goes_and_changes_nothing(user: User) -> None:
    old, new = conversation(user, days=31), conversation(user, days=29)
    workspace_ensure(old.pk)
    done = call(PURGE, "--older-than", "30d", "--dry-run")
    assert done.code == 0
    assert old.pk.hex in done.out
    assert new.pk.hex not in done.out
    assert "1 conversations would be deleted" in done.out
    report = call(PURGE, "--older-than", "30d", "--dry-run", "--json").json
    assert (report["dry_run"], report["deleted"]) == (True, 1)
    (item,) = report["items"]
    assert (item["conversation"], item["owner"]) == (old.pk.hex, user.username)
    assert workspace_path(old.pk).exists()
    assert alive() == {old.pk.hex, new.pk.hex}


def test_what_is_old_goes_with_all_that_is_its_own_and_a_second_run_finds_nothing(
    user: User,
) -> None:
    old = [conversation(user, days=31) for _ in range(120)]
    new = conversation(user, days=29)
    for kept_or_not in (old[0], new):
        (workspace_ensure(kept_or_not.pk) / "file").write_text("text")
    report = call(PURGE, "--older-than", "30d", "--json").json
    assert (report["deleted"], report["removed"], report["failed"]) == (120, 120, 0)
    assert {item["conversation"] for item in report["items"]} == {c.pk.hex for c in old}
    assert [c.pk for c in Conversation.objects.all()] == [new.pk]
    assert not workspace_path(old[0].pk).exists()
    assert (workspace_path(new.pk) / "file").exists()
    again = call(PURGE, "--older-than", "30d", "--json").json
    assert (again["deleted"], again["removed"], again["items"]) == (0, 0, [])


def test_owner_and_state_narrow_it(user: User) -> None:
    other = User.objects.create(username="other")
    mine = conversation(user, days=9, state="finished")
    kept = {conversation(user, days=9).pk.hex, conversation(other, days=9, state="finished").pk.hex}
    done = call(PURGE, "--older-than", "8d", "--owner", user.username, "--state", "finished")
    assert done.out.startswith("1 conversations deleted")
    assert alive() == kept
    assert not EventRecord.objects.filter(conversation=mine.pk).exists()


def test_what_runs_or_is_wanted_is_left_alone_unless_asked_for(user: User) -> None:
    wanted = conversation(user, days=9, wanted=True)
    left_behind = conversation(user, days=9)
    LoopLease.objects.filter(pk=left_behind.pk).update(lease_expires_at="2020-01-01T00:00Z")
    assert call(PURGE, "--older-than", "8d", "--json").json["deleted"] == 0
    assert alive() == {wanted.pk.hex, left_behind.pk.hex}
    assert call(PURGE, "--older-than", "8d", "--running", "--json").json["removed"] == 2
    assert not Conversation.objects.exists()


def test_a_message_between_read_and_delete_keeps_its_conversation(user: User) -> None:
    old = conversation(user, days=9)
    message = Interruption(lambda: message_send(conversation=old, content="Go on."))

    with connection.execute_wrapper(_AfterRead(message)):
        assert call(PURGE, "--older-than", "8d", "--json").json["deleted"] == 0
    assert alive() == {old.pk.hex}


class _AfterRead:
    """Has a message sent when the batch has been read, before anything is deleted."""

    def __init__(self, message: Interruption) -> None:
        self._message = message

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found = execute(sql, params, many, context)
        if "username" in sql and "last_updated_at" in sql:
            self._message(lambda *_: None, "UPDATE", params, many, context)
        return found


def test_with_a_sweeping_process_beside_it_that_one_removes(user: User) -> None:
    old = conversation(user, days=9)
    beside = Presence()
    beside.show()
    try:
        done = call(PURGE, "--older-than", "8d")
    finally:
        beside.hide()
    assert "the running server removes" in done.out
    assert Conversation.objects.get(pk=old.pk).deleted_at is not None
    assert call(PURGE, "--older-than", "8d", "--json").json["removed"] == 1


def test_two_purges_at_once_do_not_take_each_other_for_a_server(user: User) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(lambda _: is_swept(), range(4_000)))


def test_a_lock_that_cannot_be_opened_is_named_before_anything_is_done(
    user: User, tmp_path: Path
) -> None:
    old = conversation(user, days=9)
    (tmp_path / "data" / "sweeping.lock").mkdir(parents=True)
    serve = ("serve", "--port", str(free_port()))
    for done in (call(PURGE, "--older-than", "8d"), start(tmp_path / "data", *serve)):
        assert (done.code, done.out) == (1, "")
        assert len(done.err.strip().splitlines()) == 1, done.err
        assert "sweeping.lock cannot be opened (Is a directory). Give it to the user" in done.err
    assert alive() == {old.pk.hex}


@pytest.mark.parametrize("step", [2, 5, 9, 11])
def test_after_kill_9_the_next_run_does_the_rest(user: User, tmp_path: Path, step: int) -> None:
    old = [conversation(user, days=9) for _ in range(3)]
    folder = tmp_path / "data"
    for each in old:
        workspace_ensure(each.pk)
    order = folder / ORDER
    order.write_text(f"{max(c.pk.hex for c in old)} {step}")
    arguments = (PURGE, "--older-than", "8d")
    assert start(folder, *arguments, entry=KILLED).code == -signal.SIGKILL
    order.unlink()
    assert Conversation.objects.exists()
    assert call(*arguments).code == 0
    assert not Conversation.objects.exists()
    assert list((folder / "workspaces").iterdir()) == []


@pytest.fixture
def running(tmp_path: Path, llm: ScriptedLLMServer) -> Iterator[Server]:
    server = Server(tmp_path / "running")
    server.start()
    server.use_model(llm.base_url)
    yield server
    server.kill()


def test_beside_a_server_it_stops_what_runs_and_the_server_clears_away(
    running: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(
        lambda request: calls(
            finish("Done.")
            if request["messages"][-1]["role"] == "tool" or "rest" in str(request["messages"][1])
            else run("touch begun; sleep 100")
        ),
        marker="[purge]",
    )
    resting, working = running.create("To rest. [purge]"), running.create("Run long. [purge]")
    until_true((running.workspace(working) / "begun").exists)
    running.wait_for_rest(resting)

    def purge(*more: str) -> dict[str, Any]:
        done = start(
            running.data_dir,
            PURGE,
            "--json",
            "--older-than",
            "1s",
            *more,
            database=running.database,
        )
        assert done.code == 0, done.err
        return done.json

    until_true(lambda: purge()["deleted"] == 1)
    until_true(lambda: not rows_of(running.environment, resting))
    assert running.status(working) == "RUNNING"
    until_true(lambda: purge("--running")["deleted"] == 1)
    until_true(lambda: not rows_of(running.environment, working))
    assert not running.workspace(working).exists()
