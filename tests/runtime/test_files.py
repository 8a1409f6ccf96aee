"""Files of a workspace: read, created, edited, and no way out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conversations.events.actions import EditAction, ReadAction, WriteAction
from conversations.events.base import Action, Observation
from conversations.events.observations import (
    EditObservation,
    ErrorObservation,
    ReadObservation,
    RunObservation,
    WriteObservation,
)
from conversations.runtime.local import LocalRuntime

Execute = Callable[[Action], Awaitable[Observation]]
Run = Callable[..., Coroutine[Any, Any, RunObservation]]


@pytest.fixture
def execute(runtime: LocalRuntime) -> Execute:
    return runtime.execute


async def test_a_file_is_created_edited_and_read(execute: Execute, run: Run) -> None:
    created = await execute(EditAction(path="/workspace/d/a", command="create", file_text="1\n2\n"))
    assert isinstance(created, EditObservation)
    assert not created.prev_exist
    edited = await execute(
        EditAction(path="/workspace/d/a", command="str_replace", old_str="2", new_str="two\n3")
    )
    assert isinstance(edited, EditObservation)
    assert "-2\n+two\n+3" in edited.diff
    inserted = await execute(
        EditAction(path="/workspace/d/a", command="insert", insert_line=0, new_str="0")
    )
    assert isinstance(inserted, EditObservation)
    read = await execute(ReadAction(path="/workspace/d/a", start=2, end=3))
    assert isinstance(read, ReadObservation)
    assert read.content == "     2\t1\n     3\ttwo"
    assert (await run("cat d/a; echo more >> d/a && echo mine")).content == "0\n1\ntwo\n3\nmine"
    folder = await execute(ReadAction(path="/workspace"))
    assert folder.content.splitlines() == ["/workspace/", "/workspace/d/", "/workspace/d/a"]
    written = await execute(WriteAction(path="e", content="ü"))
    assert isinstance(written, WriteObservation)
    assert (await run("cat e")).content == "ü"


async def test_a_file_that_the_agent_made_can_be_edited(execute: Execute, run: Run) -> None:
    await run("umask 077; mkdir x; echo a > x/b")
    edited = await execute(EditAction(path="x/b", command="str_replace", old_str="a", new_str="c"))
    assert isinstance(edited, EditObservation)
    assert (await run("cat x/b")).content == "c"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (ReadAction(path="/etc/passwd"), "outside of /workspace"),
        (ReadAction(path="../x"), "outside of /workspace"),
        (ReadAction(path="nothing"), "does not exist"),
        (ReadAction(path="text", start=9, end=10), "has 2 lines"),
        (ReadAction(path="binary"), "not a text file"),
        (ReadAction(path="large"), "larger than"),
        (ReadAction(path="pipe"), "neither a file nor a folder"),
        (EditAction(path="text", command="create", file_text=""), "exists already"),
        (EditAction(path="text", command="str_replace", old_str="z"), "does not occur"),
        (EditAction(path="text", command="str_replace", old_str="l"), "occurs 2 times"),
        (EditAction(path="text", command="str_replace", old_str=""), "old_str is empty"),
        (EditAction(path="text", command="insert", insert_line=9, new_str=""), "takes 0 to 2"),
        (EditAction(path="text", command="undo_edit"), "not supported"),
        (EditAction(path="folder", command="str_replace", old_str="a"), "is a folder"),
        (WriteAction(path="text/x", content=""), "text/x"),
        (WriteAction(path="pipe", content="x"), "it is not a file"),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    execute: Execute, run: Run, action: Action, said: str
) -> None:
    await run(
        "printf 'line\\nline' > text; printf '\\377' > binary; mkdir folder; mkfifo pipe;"
        "head -c 1000001 /dev/zero > large"
    )
    before = (await run("ls -lR --full-time | md5sum")).content
    observation = await execute(action)
    assert isinstance(observation, ErrorObservation)
    assert said in observation.content
    assert (await run("ls -lR --full-time | md5sum")).content == before


async def test_odd_names_and_line_ends_are_shown_as_they_are(execute: Execute, run: Run) -> None:
    await run("mkdir odd; touch odd/$'a\\n\\nb'; printf 'one\\ftwo\\u2028x\\rthree\\nfour' > text")
    listing = await execute(ReadAction(path="odd"))
    assert "a\n\nb" in listing.content
    read = await execute(ReadAction(path="text"))
    assert read.content == "     1\tone\x0ctwo\u2028x\rthree\n     2\tfour"
    assert isinstance(await execute(ReadAction(path="a\ud800")), ErrorObservation)


async def test_no_link_leads_out_of_the_sandbox(
    execute: Execute, workspace: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    (workspace / "direct").symlink_to(secret)
    (workspace / "folder").symlink_to(tmp_path)
    (workspace / "relative").symlink_to("../secret")
    for path in ("direct", "folder/secret", "relative"):
        observation = await execute(ReadAction(path=path))
        assert isinstance(observation, ErrorObservation)
        assert "host secret" not in observation.content
        await execute(WriteAction(path=path, content="changed"))
    assert secret.read_text() == "host secret"
