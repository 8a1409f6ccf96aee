"""DELETE is killed with -9 before its steps; the next start leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import rows_of
from tests.killed_server import ORDER
from tests.processes import processes_with
from tests.serving import Server
from tests.waiting import until_true

#: Marks this test's commands among all processes of the machine.
NAP = "sleep 80.80808"
MOST_STEPS = 60


def recording(command: str) -> str:
    """Give a recorded task of one command: it needs no model."""
    action = {"source": "agent", "action": "run", "args": {"command": command}}
    return json.dumps([action])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data", entry=("-m", "tests.killed_server"), LEASE_SECONDS="1")
    made.start()
    yield made
    made.kill()


def is_clear(server: Server, conversation_id: str) -> bool:
    return not server.workspace(conversation_id).exists() and not rows_of(
        server.environment, conversation_id
    )


def delete(server: Server, conversation_id: str) -> bool | None:
    """Delete; None where the server died before it could answer."""
    try:
        answer = server.ok("DELETE", f"/api/conversations/{conversation_id}")
    except (OSError, http.client.HTTPException):
        return None
    return bool(answer)


def _kill_at_steps(server: Server, command: str, *, running: bool, every: int = 1) -> int:
    """Give the last step at which the server was killed."""
    order = server.data_dir / ORDER
    for step in range(1, MOST_STEPS, every):
        conversation_id = server.create("", replay_json=recording(command))
        workspace = server.workspace(conversation_id)
        until_true((workspace / "begun").exists)
        if not running:
            server.wait_for_rest(conversation_id)
        assert rows_of(server.environment, conversation_id) > 3
        # In one piece: the server may look at any time.
        order.with_suffix(".new").write_text(f"{conversation_id} {step}")
        order.with_suffix(".new").rename(order)
        answered = delete(server, conversation_id)
        until_true(lambda c=conversation_id: server.has_ended() or is_clear(server, c))  # type: ignore[misc]
        order.unlink()
        if not server.has_ended():
            assert answered is True
            assert is_clear(server, conversation_id)
            until_true(lambda: not processes_with(NAP))
            return step - every
        server.start()
        if server.ok("GET", f"/api/conversations/{conversation_id}") is not None:
            # Killed before the commit: nothing was accepted, and nothing is lost.
            assert answered is None
            assert (workspace / "begun").exists()
            assert server.trajectory(conversation_id)
            assert delete(server, conversation_id) is True
        until_true(lambda c=conversation_id: is_clear(server, c))  # type: ignore[misc]
        until_true(lambda: not processes_with(NAP))
    message = f"the delete was not through after {MOST_STEPS} steps"
    raise AssertionError(message)


@pytest.mark.timeout(300)
def test_a_delete_that_is_killed_leaves_nothing_behind(server: Server) -> None:
    # At least: find it, mark it, stop its loop, remove the workspace, remove the rows.
    assert _kill_at_steps(server, "touch begun", running=False, every=3) >= 8


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("running", [False, True])
def test_a_delete_that_is_killed_at_any_step_leaves_nothing_behind(
    server: Server, capsys: pytest.CaptureFixture[str], *, running: bool
) -> None:
    command = f"touch begun; {NAP}" if running else "touch begun"
    steps = _kill_at_steps(server, command, running=running)
    assert steps >= 8
    with capsys.disabled():
        sys.stdout.write(f"\nkilled at each of {steps} steps\n")
