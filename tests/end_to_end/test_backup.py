"""The lines of docs/backup.md, beside a server whose agents work: what is restored goes on."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.commands.operating import handrail_in, start
from tests.databases import ROOT, database_environment, needs_postgresql_tools
from tests.log_checks import assert_settled_once
from tests.processes import processes_with
from tests.scripted_llm import ScriptedLLMServer, Step, calls, finish, run
from tests.secrets_search import KEY
from tests.serving import Server
from tests.waiting import until_true

DATABASE = "postgresql" if settings.TEST_DATABASE_URL else "sqlite"
#: Marks this test's open commands among all processes of the machine.
NAP = "sleep 98.76543"


def lines_of(heading: str) -> str:
    """Give the shell lines below a heading of the page, those for this run's database."""
    page = (ROOT / "docs" / "backup.md").read_text()
    part = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh ?(\w*)\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL)
    return "".join(text for database, text in blocks if database in ("", DATABASE))


def do(heading: str, server: Server, backup: Path) -> subprocess.CompletedProcess[str]:
    """Carry those lines out, as the operator of this server."""
    commands = handrail_in(backup.parent / "bin")
    return subprocess.run(  # noqa: S603  # the lines of our own page
        ["bash", "-eu", "-c", lines_of(heading)],  # noqa: S607
        env={
            **server.environment,
            "PATH": f"{commands}:{os.defpath}",
            "BACKUP": str(backup),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def events_of(server: Server, conversation_id: str) -> int:
    return len(server.trajectory(conversation_id))


@pytest.fixture
def restored(server: Server, tmp_path: Path) -> Iterator[Server]:
    """Give a server that does not run yet, with nothing in its folder and its database."""
    folder = tmp_path / "restored"
    made = Server(folder, beside=server, **database_environment(folder, migrated=False))
    yield made
    made.kill()


@needs_postgresql_tools
def test_a_backup_beside_a_busy_server_is_restored_whole_and_goes_on(
    server: Server, restored: Server, llm: ScriptedLLMServer, tmp_path: Path
) -> None:
    enough = threading.Event()

    def append(request: dict[str, Any]) -> Step:
        asked = sum(message["role"] == "assistant" for message in request["messages"])
        return finish("Enough.") if enough.is_set() else run(f"echo {asked} >> effects")

    def nap(request: dict[str, Any]) -> Step:
        told = [str(message.get("content")) for message in request["messages"]]
        if any("The outcome is unknown" in text for text in told):
            return finish("I went on.")
        return run(f"echo begun > begun; {NAP}")

    llm.script([calls(run("echo kept > kept.txt")), finish("Kept.")], marker="[bk rests]")
    llm.script(append, marker="[bk busy]")
    for marker in ("[bk open]", "[bk stopped]"):
        llm.script(nap, marker=marker)
    rests = server.create("Keep it. [bk rests]")
    busy = server.create("Append. [bk busy]")
    naps = [server.create(f"Sleep. {marker}") for marker in ("[bk open]", "[bk stopped]")]
    assert server.wait_for_rest(rests) == "finished"
    until_true(lambda: all((server.workspace(pk) / "begun").exists() for pk in naps))
    until_true(lambda: events_of(server, busy) > 10)

    before = server.trajectory(busy)
    backup = tmp_path / "backup"
    done = do("Back up", server, backup)
    assert done.returncode == 0, done.stderr
    # It went on beside the backup, and after it.
    written = events_of(server, busy)
    assert written > len(before)
    until_true(lambda: events_of(server, busy) > written)
    later = server.create("")
    enough.set()
    assert server.wait_for_rest(busy) == "finished"
    for pk in naps:
        server.ok("POST", f"/api/conversations/{pk}/stop")

    done = do("Restore", restored, backup)
    assert done.returncode == 0, done.stderr
    url = restored.environment.get("DATABASE_URL")
    stopped = start(
        restored.data_dir,
        *("stop_agent_loops", naps[1], "--wait", "0"),
        database={"DATABASE_URL": url} if url else {},
    )
    assert naps[1] in stopped.out, stopped.err
    restored.start()

    assert restored.trajectory(rests) == server.trajectory(rests)
    kept = restored.ok("GET", f"/api/conversations/{rests}/select-file?file=kept.txt")
    assert kept == {"code": "kept\n"}
    assert restored.wait_for_rest(busy) == "finished"
    assert restored.trajectory(busy)[: len(before)] == before
    assert restored.wait_for_rest(naps[0]) == "finished"
    assert restored.wait_for_rest(naps[1]) == "stopped"
    for pk in (rests, busy, *naps):
        assert_settled_once(restored.trajectory(pk))
    assert restored.ok("GET", f"/api/conversations/{later}") is None
    # Only the restored server has told the LLM of this, and with the key that it has read.
    said = [turn for turn in llm.turns if "[bk open]" in turn.messages_text]
    (told,) = [turn for turn in said if "The outcome is unknown" in turn.messages_text]
    assert KEY in told.headers["authorization"]
    assert not processes_with(NAP)
