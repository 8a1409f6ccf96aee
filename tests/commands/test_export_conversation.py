"""`export_conversation`: the bytes of the trajectory, whole or not at all."""

from __future__ import annotations

import http.client
import os
import signal
import stat
from pathlib import Path

import pytest

from conversations.events.codec import user_message
from conversations.services.conversations import conversation_delete
from settings_app.models import User
from tests.commands.operating import KILLED, call, conversation, start
from tests.killed_server import ORDER
from tests.serving import Server

EXPORT = "export_conversation"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["ID"]),
        (["zzz"], ["'zzz'", "32 hexadecimal digits"]),
        (["0" * 32], ["There is no conversation 0000"]),
        (["0" * 32, "--json"], ["--output"]),
    ],
)
def test_bad_arguments_are_one_line(
    transactional_db: None, arguments: list[str], words: list[str]
) -> None:
    call(EXPORT, *arguments).refused(*words)


def test_a_deleted_conversation_is_not_there(user: User) -> None:
    deleted = conversation(user)
    conversation_delete(conversation=deleted)
    call(EXPORT, deleted.pk.hex).refused("There is no conversation")


def test_a_file_is_replaced_whole_and_a_second_run_gives_the_same(
    user: User, tmp_path: Path
) -> None:
    pk = conversation(user, events=[user_message("Grüße, 世界")] * 150).pk
    printed = call(EXPORT, str(pk)).out
    assert printed.count("世界") >= 150
    file = tmp_path / "log.json"
    file.write_text("before")
    for _ in range(2):
        done = call(EXPORT, pk.hex, "--output", str(file), "--json")
        assert done.json == {
            "items": [],
            "conversation": pk.hex,
            "output": str(file),
            "bytes": len(printed.encode()),
        }
        assert file.read_bytes() == printed.encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.json"]


def test_a_file_that_cannot_be_written_is_said(user: User, tmp_path: Path) -> None:
    done = call(EXPORT, conversation(user).pk.hex, "--output", str(tmp_path / "no" / "log.json"))
    assert done.code == 1
    assert "cannot be written" in done.err


def test_what_is_no_plain_file_is_left_as_it_is(user: User, tmp_path: Path) -> None:
    pk = conversation(user).pk.hex
    pipe, link, folder = (tmp_path / name for name in ("pipe", "link", "folder"))
    os.mkfifo(pipe)
    link.symlink_to("/dev/stdout")
    folder.mkdir()
    kinds = {path: stat.S_IFMT(path.lstat().st_mode) for path in (pipe, link, folder)}
    for path, kind in kinds.items():
        done = call(EXPORT, pk, "--output", str(path))
        assert (done.code, done.out) == (1, "")
        assert len(done.err.splitlines()) == 1
        assert f"{path} is no plain file" in done.err
        assert stat.S_IFMT(path.lstat().st_mode) == kind
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name for path in kinds}


def test_kill_9_in_the_middle_leaves_the_file_as_it_was(user: User, tmp_path: Path) -> None:
    pk = conversation(user, events=[user_message("x")] * 250).pk
    file = tmp_path / "log.json"
    file.write_text("before")
    # It is found, then read in chunks of a hundred.
    (tmp_path / ORDER).write_text(f"{pk.hex} 3")
    arguments = (EXPORT, pk.hex, "--output", str(file))
    assert start(tmp_path, *arguments, entry=KILLED).code == -signal.SIGKILL
    assert file.read_text() == "before"
    (tmp_path / ORDER).unlink()
    assert call(*arguments).code == 0
    assert file.read_bytes() == call(EXPORT, pk.hex).out.encode()


def test_a_process_prints_the_bytes_of_the_servers_answer(server: Server) -> None:
    pk = server.create(
        "", replay_json='[{"source": "agent", "action": "think", "args": {"thought": "Hm."}}]'
    )
    server.wait_for_rest(pk)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", f"/api/conversations/{pk}/trajectory")
    answer = connection.getresponse().read()
    connection.close()
    done = start(server.data_dir, EXPORT, pk, database=server.database)
    assert done.out.encode() == answer
