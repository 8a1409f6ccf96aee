"""Every damage that a store may have: named, with its file, and the rest comes in."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conversations.models import Conversation, EventRecord
from conversations.openhands_store import files, log
from tests.commands.stores import (
    ID,
    OTHER_ID,
    Store,
    event,
    in_process,
    message,
    ran,
    run,
    state,
)

pytestmark = pytest.mark.django_db
EVENTS = f"sessions/{ID}/events"
METADATA = f"sessions/{ID}/metadata.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with one healthy conversation, OTHER_ID."""
    made = Store(tmp_path / "store")
    made.conversation(message("Hello"), state("stopped"), conversation_id=OTHER_ID)
    return made


def _without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def _with(file: str, data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / file).write_bytes(data)

    return write


def _with_event(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: Store.event(folder, 1, run("ls") | fields)


def _as_event(item: dict[str, Any]) -> Callable[[Path], None]:
    return lambda folder: Store.event(folder, 1, item)


def _with_metadata(**fields: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        known = json.loads((folder / "metadata.json").read_text())
        (folder / "metadata.json").write_text(json.dumps(known | fields))

    return write


def _link(folder: Path) -> None:
    (folder / "events" / "1.json").unlink()
    (folder / "events" / "1.json").symlink_to("/etc/passwd")


def _link_inside(folder: Path) -> None:
    (folder / "events" / "1.json").unlink()
    (folder / "events" / "1.json").symlink_to("0.json")


def _linked_events(folder: Path) -> None:
    (folder / "events").rename(folder.parent.parent / "elsewhere")
    (folder / "events").symlink_to(folder.parent.parent / "elsewhere")


def _pipe(folder: Path) -> None:
    (folder / "events" / "1.json").unlink()
    os.mkfifo(folder / "events" / "1.json")


def _folder(folder: Path) -> None:
    (folder / "events" / "1.json").unlink()
    (folder / "events" / "1.json").mkdir()


def _no_events(folder: Path) -> None:
    subprocess.run(["rm", "-r", str(folder / "events")], check=True)  # noqa: S603, S607


_EVENT = f"{EVENTS}/1.json"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("metadata.json"), f"{METADATA}: cannot be read: no such file or directory"),
        (_with("metadata.json", b""), f"{METADATA}: is empty"),
        (_with("metadata.json", b"{"), f"{METADATA}: is not valid JSON"),
        (_with("metadata.json", b"[]"), f"{METADATA}: is not a JSON object"),
        (_with("metadata.json", b'{"title": "\xff"}'), f"{METADATA}: is not UTF-8"),
        (_with("metadata.json", b" " * 1_100_000), f"{METADATA}: is larger than 1,048,576 bytes"),
        (_with_metadata(conversation_id=OTHER_ID), f"{METADATA}: names another conversation"),
        (_with_metadata(title=3), f"{METADATA}: title is not a string"),
        (_with_metadata(created_at="soon"), f"{METADATA}: created_at is not a time"),
        (_with_metadata(last_updated_at=[]), f"{METADATA}: last_updated_at is not a time"),
        (_with_metadata(prompt_tokens=-1), f"{METADATA}: prompt_tokens is not a number"),
        (_with_metadata(accumulated_cost=float("nan")), "accumulated_cost is not a number"),
        (_with_metadata(selected_repository="x" * 256), "selected_repository is longer than 255"),
        (_no_events, f"{EVENTS}: cannot be read: no such file or directory"),
        (_linked_events, f"{EVENTS}: is a symbolic link; links are not followed"),
        (_link, f"{_EVENT}: is a symbolic link; links are not followed"),
        (_link_inside, f"{_EVENT}: is a symbolic link; links are not followed"),
        (_pipe, f"{_EVENT}: is not a file"),
        (_folder, f"{_EVENT}: is not a file"),
        (_with("events/1.json", b""), f"{_EVENT}: is empty"),
        (_with("events/1.json", b"{'id': 1}"), f"{_EVENT}: is not valid JSON"),
        (_with("events/1.json", b'{"id": ' + b"1" * 5000 + b"}"), "a number too long"),
        (_with("events/1.json", b"[" * 100_000), f"{_EVENT}: is nested too deeply"),
        (_with("events/1.json", b"[" * 900 + b"]" * 900), f"{_EVENT}: is n"),
        (_with("events/1.json", b'"\xc3\x28"'), f"{_EVENT}: is not UTF-8"),
        (_with("events/1.json", b"null"), f"{_EVENT}: is not a JSON object"),
        (_with_event(id=2), f"{_EVENT}: has another id in it"),
        (_with_event(action=None), f"{_EVENT}: must be either an action or an observation"),
        (_with_event(observation="run"), f"{_EVENT}: must be either an action or an observation"),
        (_with_event(action=["run"]), f"{_EVENT}: action is not a word"),
        (_with_event(action="x" * 33), f"{_EVENT}: action is not a word"),
        (_with_event(source="root"), f"{_EVENT}: source is not one of"),
        (_with_event(source=None), f"{_EVENT}: source is not one of"),
        (_with_event(timestamp=17), f"{_EVENT}: timestamp is not a time"),
        (_with_event(timestamp="0001-01-01T00:00:00+23:00"), f"{_EVENT}: timestamp is not a time"),
        (_with_event(args=[]), f"{_EVENT}: args is not an object"),
        (_with_event(message={}), f"{_EVENT}: message is not a string"),
        (_with_event(cause="0"), f"{_EVENT}: cause is not a whole number"),
        (_with_event(args={"command": 5}), f"{_EVENT}: cannot be shown: run"),
        (_as_event(event(observation="run", content=7)), f"{_EVENT}: content is not a string"),
        (_as_event(ran(0) | {"extras": None}), f"{_EVENT}: extras is not an object"),
        (_as_event(state("dreaming")), f"{_EVENT}: cannot be shown: agent_state_c"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_conversation_is_skipped_and_named(
    store: Store, damage: Callable[[Path], None], said: str
) -> None:
    damage(store.conversation(message("Do it"), run("ls"), ran(1), conversation_id=ID))
    done = in_process(store.path)
    assert (done.code, done.outcomes) == (1, {ID: "skipped", OTHER_ID: "imported"})
    assert said in done.err
    assert said in done.report["conversations"][0]["reason"]
    assert Conversation.objects.count() == 1
    assert EventRecord.objects.count() == 2


def test_what_is_mended_is_imported_by_the_next_run(store: Store) -> None:
    folder = store.conversation(message("Do it"), run("ls"), ran(1), conversation_id=ID)
    (folder / "events" / "1.json").write_text("{")
    assert in_process(store.path).outcomes == {ID: "skipped", OTHER_ID: "imported"}
    (folder / "events" / "1.json").unlink()
    again = in_process(store.path)
    assert (again.code, again.outcomes) == (0, {ID: "imported", OTHER_ID: "already_there"})
    assert f"Note: {_EVENT}: is missing (of such gaps: 1)." in again.err
    assert "2.json: names 1 as its cause, which is not there; left out" in again.err
    rows = EventRecord.objects.filter(conversation_id=ID).order_by("event_id")
    assert list(rows.values_list("event_id", "cause")) == [(0, None), (1, None), (2, None)]


def test_a_huge_file_and_a_huge_conversation_are_not_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.conversation(message("Do it"), conversation_id=ID)
    with (folder / "events" / "1.json").open("wb") as file:
        file.truncate(files.MAX_EVENT_BYTES + 1)
    assert f"{_EVENT}: is larger than 33,554,432 bytes" in in_process(store.path).err
    (folder / "events" / "1.json").unlink()
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 50)
    assert f"{EVENTS}: is over 50 bytes" in in_process(store.path).err
    monkeypatch.setattr(log, "MAX_EVENTS", 0)
    assert f"{EVENTS}: has more than 0 events" in in_process(store.path).err


def test_what_no_database_keeps_is_replaced_and_noted(store: Store) -> None:
    store.conversation(
        message("a\x00b\ud800c"), run("ls", args={"command": "ls", "x": float("nan")}), ran(1)
    )
    metrics = {"accumulated_cost": float("inf"), "accumulated_token_usage": []}
    item = message("x", source="agent") | {"llm_metrics": metrics}
    Store.event(store.folder(), 3, item | {"cause": 9, "tool_call_metadata": {"a": 1}})
    done = in_process(store.path)
    assert (done.code, done.outcomes[ID]) == (0, "imported")
    notes = done.report["conversations"][0]["notes"]
    assert sum("that no database keeps; replaced" in note for note in notes) == 3
    for said in ("names 9 as its cause", "llm_metrics that are no", "tool_call_metadata that is"):
        assert any(f"{EVENTS}/3.json" in note and said in note for note in notes)
    rows = EventRecord.objects.filter(conversation_id=ID).order_by("event_id")
    payloads = list(rows.values_list("payload", flat=True))
    assert payloads[0]["args"]["content"] == "a\ufffdb\ufffdc"
    assert payloads[1]["args"]["x"] is None
    assert "llm_metrics" not in payloads[3]


def test_folders_that_are_no_conversations_are_named(store: Store, tmp_path: Path) -> None:
    sessions = store.path / "sessions"
    (sessions / "not-an-id").mkdir()
    (sessions / ID.upper().replace("1", "A")).mkdir()
    (sessions / "line\nbreak").mkdir()
    (Path(os.fsdecode(os.fsencode(sessions) + b"/\xff"))).mkdir()
    (sessions / "1234").write_text("a file")
    (sessions / ".DS_Store").write_text("nobody's")
    (sessions / ID).symlink_to(sessions / OTHER_ID)
    done = in_process(store.path)
    assert done.code == 1
    assert done.report["counts"] == {
        "imported": 1,
        "already_there": 0,
        "went_on": 0,
        "skipped": 6,
    }
    assert f"sessions/{ID}: is a symbolic link; links are not followed" in done.err
    assert "sessions/line?break: its name is no id" in done.err
    assert "sessions/\ufffd: its name is no id" in done.err


def test_linked_rooms_of_a_store_are_not_entered(store: Store) -> None:
    (store.path / "sessions").rename(store.path / "aside")
    (store.path / "sessions").symlink_to("aside")
    (store.path / "users").symlink_to("aside")
    (store.path / "settings.json").symlink_to("aside")
    done = in_process(store.path)
    assert (done.code, done.report["counts"]["skipped"]) == (1, 2)
    assert "settings.json: is a symbolic link" in done.err
    assert not Conversation.objects.exists()


def test_what_is_derived_or_a_pickle_is_not_touched(store: Store) -> None:
    folder = store.conversation(message("Do it"), conversation_id=ID)
    (folder / "event_cache").write_text("not even a folder")
    (folder / "agent_state.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (folder / "events" / "lock.tmp").write_text("")
    done = in_process(store.path)
    assert (done.code, done.outcomes[ID]) == (0, "imported")
    assert done.report["conversations"][0]["notes"] == [f"{EVENTS}/lock.tmp: is no event; left out"]
