"""`reconcile_workspaces`: strays go, links and strangers stay, what is missing is told."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import connections

from conversations.events.base import EventSource, NewEvent
from conversations.events.observations import RunObservation
from conversations.models import Conversation
from conversations.services.conversations import conversation_delete
from conversations.services.workspaces import workspace_ensure, workspace_path, workspaces_root
from settings_app.models import User
from tests.commands.operating import call, conversation, start

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

RECONCILE = "reconcile_workspaces"
RAN = NewEvent(source=EventSource.AGENT, body=RunObservation(command="ls", exit_code=0, content=""))


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    workspaces_root().mkdir(parents=True)
    return workspaces_root()


def stray(name: str = "", *, young: bool = False) -> Path:
    """Make a folder with something in it that was changed long ago."""
    folder = workspaces_root() / (name or uuid4().hex)
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("text")
    if not young:
        os.utime(folder, (1e9, 1e9))
    return folder


def kept(user: User) -> Path:
    folder = workspace_ensure(conversation(user).pk)
    os.utime(folder, (1e9, 1e9))
    return folder


def test_bad_arguments_are_one_line(transactional_db: None) -> None:
    call(RECONCILE, "--everything").refused("--everything")


def test_a_dry_run_changes_nothing(user: User) -> None:
    of_conversation, gone = kept(user), stray()
    done = call(RECONCILE, "--dry-run")
    assert done.code == 0
    assert f"{gone.name}  would be removed" in done.out
    report = call(RECONCILE, "--dry-run", "--json").json
    assert report["items"] == [{"conversation": gone.name, "outcome": "would_be_removed"}]
    assert (report["dry_run"], report["removed"], report["missing"]) == (True, 1, 0)
    assert gone.exists()
    assert of_conversation.exists()


def test_only_folders_of_our_naming_go_and_a_second_run_finds_nothing(
    user: User, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    outside.chmod(0o500)
    gone = [stray() for _ in range(3)]
    (gone[0] / "deep" / "link").symlink_to(outside)
    deleted = conversation(user)
    of_deleted = stray(deleted.pk.hex)
    conversation_delete(conversation=deleted)
    link, file = root / uuid4().hex, root / uuid4().hex
    link.symlink_to(outside)
    file.write_text("text")
    stays = {
        kept(user),
        of_deleted,
        link,
        file,
        stray(young=True),
        stray("notes"),
        stray(uuid4().hex.upper()),
        stray(str(uuid4())),
        stray(f"{uuid4().hex}.old"),
    }
    report = call(RECONCILE, "--json").json
    assert (report["removed"], report["failed"], report["missing"]) == (3, 0, 0)
    assert {item["conversation"] for item in report["items"]} == {f.name for f in gone}
    assert set(root.iterdir()) == stays
    assert outside.stat().st_mode & 0o777 == 0o500
    assert (outside / "deep").exists()
    assert call(RECONCILE, "--json").json["items"] == []


def test_a_workspace_that_is_missing_is_told(user: User) -> None:
    lost, whole = conversation(user, events=[RAN]), conversation(user, events=[RAN])
    conversation(user)
    workspace_ensure(whole.pk)
    done = call(RECONCILE)
    assert done.code == 1
    assert f"{lost.pk.hex}  has run commands, but its workspace is missing" in done.out
    assert "missing: 1" in done.err
    assert call(RECONCILE, "--json").json["items"] == [
        {"conversation": lost.pk.hex, "outcome": "missing"}
    ]


def test_an_empty_database_is_taken_for_the_wrong_one(transactional_db: None) -> None:
    assert call(RECONCILE).code == 0
    gone = stray()
    done = call(RECONCILE)
    assert (done.code, done.out) == (1, "")
    assert "DATABASE_URL" in done.err
    assert gone.exists()
    assert call(RECONCILE, "--empty-database").code == 0
    assert not gone.exists()


def test_a_link_in_the_place_of_a_deleted_ones_workspace_is_not_followed(
    user: User, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    old = conversation(user, days=9)
    workspace_path(old.pk).symlink_to(outside)
    assert call("purge_conversations", "--older-than", "8d").code == 0
    assert not workspace_path(old.pk).is_symlink()
    assert outside.stat().st_mode & 0o777 == 0o500


KILLED_IN_REMOVAL = """
import os, signal, sys
def die(event, arguments):
    if event == "subprocess.Popen" and arguments[0] == "rm":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
from project.env import settings_module_default
settings_module_default("project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def test_after_kill_9_in_a_removal_the_next_run_does_the_rest(user: User, root: Path) -> None:
    of_conversation = kept(user)
    stray()
    stray()
    done = start(root.parent, RECONCILE, entry=("-c", KILLED_IN_REMOVAL))
    assert done.code == -signal.SIGKILL
    (begun,) = root.glob("*.removing")
    os.utime(begun)
    assert call(RECONCILE, "--json").json["removed"] == 2
    assert list(root.iterdir()) == [of_conversation]


def test_beside_creates_no_new_workspace_goes(user: User) -> None:
    """New folders made old, so that only the order of the looks protects them."""
    stop, failed = threading.Event(), []

    def create() -> None:
        try:
            while not stop.is_set() and len(made) < 300:
                made.append(kept(user))
        except Exception as error:  # noqa: BLE001  # told below, on the test's own thread
            failed.append(error)
        finally:
            connections.close_all()

    made: list[Path] = [kept(user)]
    creator = threading.Thread(target=create)
    creator.start()
    for _ in range(5):
        stray()
        assert call(RECONCILE, "--json").json["removed"] == 1
    stop.set()
    creator.join()
    assert not failed
    assert all(folder.exists() for folder in made)
    assert Conversation.objects.count() == len(made)
