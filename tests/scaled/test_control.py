"""A server and a worker, real processes: what one is told reaches the other, and both may end."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.commands.operating import start
from tests.log_checks import assert_settled_once
from tests.postgresql import needs_postgresql
from tests.scaled.steps import STEPS, append_next, has_lines, lines, observations
from tests.scripted_llm import ScriptedLLMServer, calls, finish, run
from tests.serving import Client, Server
from tests.waiting import until, until_true
from tests.workers import Worker

pytestmark = needs_postgresql


async def _stop_one(web: Server, number: int) -> float:
    """Stop a command that runs in the worker; give the seconds until the client hears of it."""
    conversation_id = web.create(f"Run long. [stop] {number}")
    async with Client(web, conversation_id) as client:
        await client.wait_for(lambda events: any(e.get("action") == "run" for e in events))
        await until((web.workspace(conversation_id) / "begun").exists)
        begun = time.monotonic()
        await client.act("change_agent_state", agent_state="stopped")
        await client.wait_for_state("stopped")
        took = time.monotonic() - begun
        assert [e["id"] for e in client.events] == list(range(len(client.events)))
    assert_settled_once(web.trajectory(conversation_id))
    return took


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.chaos)])
async def test_a_stop_reaches_the_worker(
    web: Server, worker: Worker, llm: ScriptedLLMServer, times: int
) -> None:
    llm.script(lambda _: calls(run("touch begun; sleep 100")), marker="[stop]")
    took = [await _stop_one(web, number) for number in range(times)]
    ordered = sorted(took)
    p95 = ordered[max(0, round(0.95 * len(ordered)) - 1)]
    print(f"stop: p50 {statistics.median(took):.3f} s, p95 {p95:.3f} s of {times}")  # noqa: T201


async def test_pause_message_and_delete_reach_the_worker(
    web: Server, worker: Worker, llm: ScriptedLLMServer
) -> None:
    llm.script(
        lambda request: (
            calls(finish("Done."))
            if "Go on." in str(request["messages"])
            else calls(run("touch begun; sleep 100"))
        ),
        marker="[pause]",
    )
    conversation_id = web.create("Run long. [pause]")
    begun = web.workspace(conversation_id) / "begun"
    async with Client(web, conversation_id) as client:
        await until(begun.exists)
        await client.act("change_agent_state", agent_state="paused")
        await client.wait_for_state("paused")
        await client.act("message", content="Go on.")
        await client.wait_for_state("finished")
    web.ok("DELETE", f"/api/conversations/{conversation_id}")
    # By the worker: the server has no sandbox and clears nothing.
    until_true(lambda: not begun.parent.exists())
    deleted = web.create("Run long. [pause] and be deleted")
    folder = web.workspace(deleted)
    until_true(lambda: (folder / "begun").exists())
    web.ok("DELETE", f"/api/conversations/{deleted}")
    until_true(lambda: not folder.exists())


def test_a_worker_says_that_it_is_well(web: Server, worker: Worker) -> None:
    def is_well() -> bool:
        done = start(web.data_dir, "healthcheck", "--worker", database=web.database)
        return done.out == "OK: data directory, database, worker.\n"

    until_true(is_well)
    assert web.call("GET", "/ready")[0] == 200


async def test_a_server_and_a_worker_that_end_at_once_leave_all_to_others(
    web: Server, worker: Worker, llm: ScriptedLLMServer, start_worker: Callable[..., Worker]
) -> None:
    """As in a deploy; it ends the worker that this module's tests share, so it comes last."""
    llm.script(append_next, marker="[steps]")
    ending = Server(web.data_dir, beside=web, EXECUTOR="procrastinate")
    ending.start()
    try:
        conversation_id = ending.create("Do some steps. [steps]")
        client = Client(ending, conversation_id)
        await client.connect()
        await until(partial(has_lines, web, conversation_id, 1))
        successor = start_worker()
        ending.signal(signal.SIGTERM)
        await client.move(web)
        assert await asyncio.to_thread(worker.stop) == 0
        await until(ending.has_ended)
    finally:
        ending.kill()
    await client.wait_for_state("finished", seconds=60)
    assert [e["id"] for e in client.events] == list(range(len(client.events)))
    assert lines(web, conversation_id) == [str(n) for n in range(STEPS)]
    assert [o["observation"] for o in observations(web, conversation_id)] == ["run"] * STEPS
    assert "turn_handed_back" in worker.log
    assert "Traceback" not in worker.log + successor.log
    await client.cut()
