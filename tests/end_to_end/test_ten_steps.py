"""The main job over the public doors: a task of ten steps with a scripted provider."""

from __future__ import annotations

import threading
from typing import Any

from tests.log_checks import assert_settled_once, observations_by_cause
from tests.scripted_llm import (
    ScriptedLLMServer,
    calls,
    create,
    finish,
    gated,
    raw_call,
    run,
    str_replace,
    text,
    view,
)
from tests.serving import Client, Server
from tests.waiting import until

STEPS = [
    calls(create("/workspace/app/main.py", "print('one')\n")),
    calls(str_replace("/workspace/app/main.py", "one", "two")),
    calls(view("/workspace/app/main.py")),
    calls(run("cd app && export GREETING=hello")),
    calls(run("pwd; echo $GREETING; cat main.py")),
    calls(run("echo first"), run("echo second; false")),
    calls(raw_call("teleport", "{}")),
    calls(raw_call("execute_bash", '{"command": ')),
    calls(run("ls /workspace/nothing")),
    calls(finish("All done.")),
]


async def test_ten_steps_end_finished_with_every_action_settled_once(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script([*STEPS, calls(run("pwd; cat main.py")), text("Still here.")], marker="[ten steps]")
    conversation_id = server.create("Take ten steps.  [ten steps]")
    async with Client(server, conversation_id) as client:
        await client.wait_for_state("finished", seconds=60)
        trajectory = server.trajectory(conversation_id)
        assert_settled_once(trajectory)
        found = observations_by_cause(trajectory)
        runs = [e for e in trajectory if e.get("action") == "run"]
        outputs = [found[e["id"]]["content"] for e in runs]
        assert outputs[:4] == ["", "/workspace/app\nhello\nprint('two')", "first", "second"]
        exit_codes = [found[e["id"]]["extras"]["metadata"]["exit_code"] for e in runs]
        assert exit_codes == [0, 0, 0, 1, 2]
        errors = [e["content"] for e in trajectory if e.get("observation") == "error"]
        assert "There is no tool 'teleport'" in errors[0]
        assert "not valid JSON" in errors[1]
        assert_shapes(trajectory)

        await client.act("message", content="Go on.", image_urls=[])
        await client.wait_for_state("awaiting_user_input", seconds=60)
        trajectory = server.trajectory(conversation_id)
        last_run = [e for e in trajectory if e.get("observation") == "run"][-1]
        assert last_run["content"] == "/workspace/app\nprint('two')"
        assert_settled_once(trajectory)
    assert (server.workspace(conversation_id) / "app/main.py").read_text() == "print('two')\n"


def assert_shapes(trajectory: list[dict[str, Any]]) -> None:
    """Check what the web client reads (CONTRACT section 6)."""
    for event in trajectory:
        assert isinstance(event["id"], int)
        assert event["timestamp"].endswith("+00:00")
        assert event["source"] in {"user", "agent", "environment"}
        assert isinstance(event["message"], str)
        assert "type" not in event
        assert "error" not in event
        if "action" in event:
            assert "security_risk" not in event["args"]
        else:
            assert isinstance(event["content"], str)
        if event.get("action") == "run":
            assert event["llm_metrics"]["accumulated_token_usage"]["prompt_tokens"] >= 100
            assert event["tool_call_metadata"]["function_name"] == "execute_bash"
        if event.get("observation") == "run":
            assert isinstance(event["extras"]["metadata"]["exit_code"], int)
            assert isinstance(event["extras"]["command"], str)


async def test_a_stop_ends_a_command_within_a_second_and_a_message_goes_on(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(
        [calls(run("touch begun; sleep 100; echo never")), calls(finish("As you like."))],
        marker="[stop me]",
    )
    conversation_id = server.create("Sleep. [stop me]")
    async with Client(server, conversation_id) as client:
        begun = server.workspace(conversation_id) / "begun"
        await until(begun.exists)
        await client.act("change_agent_state", agent_state="stopped")
        await client.wait_for_state("stopped", seconds=10)
        assert server.wait_for_rest(conversation_id) == "stopped"
        settled = [e for e in server.trajectory(conversation_id) if e.get("observation") == "run"]
        assert "was interrupted" in settled[0]["content"]
        assert "never" not in settled[0]["content"].splitlines()
        await client.act("message", content="Then finish.", image_urls=[])
        await client.wait_for_state("finished")
    assert_settled_once(server.trajectory(conversation_id))


async def test_a_stop_during_an_llm_call_ends_the_call(
    server: Server, llm: ScriptedLLMServer
) -> None:
    let_go = threading.Event()
    llm.script([gated(text("Too late."), let_go)], marker="[held]")
    conversation_id = server.create("Think long. [held]")
    async with Client(server, conversation_id) as client:
        await until(lambda: any("[held]" in turn.messages_text for turn in llm.turns))
        await client.act("change_agent_state", agent_state="paused")
        await client.wait_for_state("paused", seconds=10)
    let_go.set()
    assert server.wait_for_rest(conversation_id) == "paused"


async def test_a_command_typed_by_the_user_runs_without_the_llm(
    server: Server, llm: ScriptedLLMServer
) -> None:
    conversation_id = server.create("")
    async with Client(server, conversation_id) as client:
        await client.wait_for_state("awaiting_user_input")
        await client.act("run", command="echo mine", hidden=False)
        await client.wait_for(lambda events: any(e.get("observation") == "run" for e in events))
        await client.wait_for_state("awaiting_user_input")
    observation = next(e for e in client.events if e.get("observation") == "run")
    assert (observation["source"], observation["content"]) == ("user", "mine")
    assert server.wait_for_rest(conversation_id) == "awaiting_user_input"
