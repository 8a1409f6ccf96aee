"""The server is killed with -9 in the middle of commands; the loop ends by itself."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.log_checks import assert_settled_once
from tests.processes import processes_with
from tests.scripted_llm import ScriptedLLMServer, Step, calls, finish, run
from tests.serving import CALM, Client, Server
from tests.waiting import until_true

#: Marks this test's commands among all processes of the machine.
NAP = "sleep 0.30303"


@pytest.fixture
def server(tmp_path: Path, llm: ScriptedLLMServer) -> Iterator[Server]:
    made = Server(tmp_path / "data", LEASE_SECONDS="1.5")
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.kill()


@pytest.fixture
def replaying(tmp_path: Path) -> Iterator[Server]:
    """Give a server whose agents follow recordings: none of its lives loads the LLM library."""
    made = Server(tmp_path / "replaying", entry=CALM, LEASE_SECONDS="1.5")
    made.start()
    yield made
    made.kill()


def recording(command: str) -> str:
    """Give what an agent did that ran one command and was done."""
    return json.dumps(
        [
            {"source": "agent", "action": "run", "args": {"command": command}},
            {"source": "agent", "action": "finish", "args": {"outputs": {}, "thought": "Done."}},
        ]
    )


def lines(server: Server, conversation_id: str) -> list[str]:
    """Give what the agent has appended so far."""
    file = server.workspace(conversation_id) / "effects"
    return file.read_text().splitlines() if file.exists() else []


def has_lines(server: Server, conversation_id: str, wanted: int) -> bool:
    return len(lines(server, conversation_id)) >= wanted


def append_next(request: dict[str, Any], *, steps: int) -> Step:
    """Ask for the next line until there are enough; derived from the history, as a model does."""
    asked = sum(message["role"] == "assistant" for message in request["messages"])
    if asked >= steps:
        return calls(finish(f"{asked} steps"))
    return calls(run(f"echo {asked} >> effects; {NAP}; echo {asked} done"))


@pytest.mark.timeout(300)  # each start of a server loads the LLM library
@pytest.mark.parametrize(
    ("kills", "steps"), [(3, 12), pytest.param(10, 40, marks=pytest.mark.chaos)]
)
def test_kills_in_the_middle_of_commands_lose_double_and_repeat_nothing(
    server: Server, llm: ScriptedLLMServer, kills: int, steps: int
) -> None:
    marker = f"[{steps} lines]"
    llm.script(partial(append_next, steps=steps), marker=marker)
    conversation_id = server.create(f"Append many lines. {marker}")
    for kill in range(kills):
        # In the middle of a command: its first effect is there, its end is not.
        wanted = (kill + 1) * 3
        until_true(partial(has_lines, server, conversation_id, wanted), seconds=60)
        before = server.trajectory(conversation_id)
        server.kill()
        until_true(lambda: not processes_with(NAP))
        server.start()
        after = server.trajectory(conversation_id)
        assert after[: len(before)] == before, "a stored event is gone, or has changed"
    assert server.wait_for_rest(conversation_id, seconds=90) == "finished"

    trajectory = server.trajectory(conversation_id)
    assert_settled_once(trajectory)
    effects = lines(server, conversation_id)
    assert len(effects) == len(set(effects)), "an effect was repeated"
    assert len([e for e in trajectory if e.get("action") == "run"]) == steps
    unknown = [e for e in trajectory if e.get("observation") == "error"]
    assert 1 <= len(unknown) <= kills
    assert all(e["content"].startswith("The outcome is unknown") for e in unknown)
    server.kill()
    until_true(lambda: not processes_with(NAP))


def test_a_server_that_was_frozen_behind_its_successor_stores_nothing(replaying: Server) -> None:
    """Two processes on one data directory: the first stops in a command and wakes up too late."""
    server = replaying
    command = "echo once >> effects; sleep 1.20202; echo late"
    conversation_id = server.create("", replay_json=recording(command))
    until_true(lambda: lines(server, conversation_id) == ["once"])
    server.signal(signal.SIGSTOP)
    successor = Server(server.data_dir, beside=server, entry=CALM, LEASE_SECONDS="1.5")
    successor.start()
    try:
        assert successor.wait_for_rest(conversation_id) == "finished"
        trajectory = successor.trajectory(conversation_id)
        assert any("The outcome is unknown" in str(e.get("content")) for e in trajectory)
        server.signal(signal.SIGCONT)
        until_true(server.is_up)
        until_true(lambda: "turn_given_up" in server.log)
        assert successor.trajectory(conversation_id) == trajectory
        assert_settled_once(trajectory)
        assert lines(server, conversation_id) == ["once"]
    finally:
        successor.kill()


async def test_a_stopped_server_goes_on_where_it_ended_and_clients_miss_nothing(
    replaying: Server,
) -> None:
    server = replaying
    conversation_id = server.create("", replay_json=recording("echo begun; sleep 100"))
    client = Client(server, conversation_id)
    await client.connect()
    await client.wait_for(lambda events: any(e.get("action") == "run" for e in events))
    server.stop()
    server.start()
    await client.rejoin()
    await client.wait_for_state("finished", seconds=60)
    assert [e["id"] for e in client.events] == list(range(len(client.events)))
    assert_settled_once(server.trajectory(conversation_id))
    await client.cut()
