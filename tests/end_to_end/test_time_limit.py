"""MAX_TURN_SECONDS, over the public doors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_llm import ScriptedLLMServer, calls, finish, run
from tests.serving import Client, Server


@pytest.fixture
def hasty(tmp_path: Path, llm: ScriptedLLMServer) -> Iterator[Server]:
    made = Server(tmp_path / "data", MAX_TURN_SECONDS="1")
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.stop()


async def test_a_turn_that_takes_too_long_is_paused_and_goes_on_when_told(
    hasty: Server, llm: ScriptedLLMServer
) -> None:
    llm.script([calls(run("sleep 1.2; echo done")), calls(finish("So."))], marker="[too long]")
    conversation_id = hasty.create("Take your time. [too long]")
    async with Client(hasty, conversation_id) as client:
        await client.wait_for_state("paused")
        last = [e for e in client.events if e.get("observation") in ("run", "error")]
        assert last[-2]["content"] == "done"
        assert last[-1]["content"].startswith("Agent reached maximum of 1 seconds for one message")
        await client.act("change_agent_state", agent_state="running")
        await client.wait_for_state("finished")
