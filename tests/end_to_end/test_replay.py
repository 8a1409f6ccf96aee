"""A recorded trajectory is carried out again, without one LLM call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from conversations.management.demo_task import demo_trajectory
from tests.log_checks import assert_settled_once
from tests.scripted_llm import ScriptedLLMServer, finish
from tests.serving import Client, Server

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "trajectories"
needs_recordings = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="the recorded trajectories are not beside this project"
)


@needs_recordings
def test_a_recording_of_the_original_replays_into_the_workspace(
    bare_server: Server, llm: ScriptedLLMServer
) -> None:
    asked = len(llm.requests)
    recording = (RECORDED / "basic.json").read_text()
    conversation_id = bare_server.create("", replay_json=recording)
    assert bare_server.wait_for_rest(conversation_id) == "finished"
    trajectory = bare_server.trajectory(conversation_id)
    assert_settled_once(trajectory)
    assert [e.get("action") or e.get("observation") for e in trajectory] == [
        "message",
        "agent_state_changed",
        "agent_state_changed",
        "edit",
        "edit",
        "finish",
        "agent_state_changed",
    ]
    recorded = json.loads(recording)
    assert trajectory[0]["args"]["content"] == recorded[0]["args"]["content"]
    arguments = json.loads(
        recorded[1]["tool_call_metadata"]["model_response"]["choices"][0]["message"]["tool_calls"][
            0
        ]["function"]["arguments"]
    )
    game = bare_server.workspace(conversation_id) / "game_2048.py"
    assert game.read_text() == arguments["file_text"]
    assert len(llm.requests) == asked


@needs_recordings
def test_a_recording_that_fails_differently_is_recorded_as_it_went_here(
    bare_server: Server,
) -> None:
    recording = (RECORDED / "wrong_initial_state.json").read_text()
    conversation_id = bare_server.create("", replay_json=recording)
    assert bare_server.wait_for_rest(conversation_id) == "finished"
    trajectory = bare_server.trajectory(conversation_id)
    assert_settled_once(trajectory)
    moved = next(e for e in trajectory if e.get("observation") == "run")
    assert moved["extras"]["metadata"]["exit_code"] == 1
    assert "No such file" in moved["content"]


def test_the_demos_own_recording_ends_finished(bare_server: Server) -> None:
    conversation_id = bare_server.create("", replay_json=demo_trajectory())
    assert bare_server.wait_for_rest(conversation_id) == "finished"
    trajectory = bare_server.trajectory(conversation_id)
    assert_settled_once(trajectory)
    outputs = [e["content"] for e in trajectory if e.get("observation") == "run"]
    assert "checked: (900 + 1100 + 1000) / 3 = 1000" in outputs[-1]
    assert all(
        e["extras"]["metadata"]["exit_code"] == 0
        for e in trajectory
        if e.get("observation") == "run"
    )


def test_a_replay_without_an_end_rests_for_the_user(bare_server: Server) -> None:
    recording = [
        {"id": 7, "source": "agent", "action": "run", "args": {"command": "echo one"}},
        {"id": 9, "source": "agent", "observation": "run", "cause": 7, "content": "one"},
        {"id": 12, "source": "user", "action": "message", "args": {"content": "And two."}},
        {"id": 15, "source": "agent", "action": "run", "args": {"command": "echo two"}},
    ]
    conversation_id = bare_server.create("", replay_json=json.dumps({"trajectory": recording}))
    assert bare_server.wait_for_rest(conversation_id) == "awaiting_user_input"
    trajectory = bare_server.trajectory(conversation_id)
    assert_settled_once(trajectory)
    told = [e["content"] for e in trajectory if e.get("observation") == "run"]
    assert told == ["one", "two"]
    messages = [e["args"]["content"] for e in trajectory if e.get("action") == "message"]
    assert messages == ["And two."]


def test_the_model_that_goes_on_after_a_replay_knows_what_was_done(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script([finish("I see.")], marker="[after the replay]")
    recording = [
        {"source": "agent", "action": "run", "args": {"command": "echo replayed", "thought": "t"}},
        {"source": "agent", "action": "message", "args": {"content": "Anything else?"}},
    ]
    conversation_id = server.create("Task. [after the replay]", replay_json=json.dumps(recording))
    assert server.wait_for_rest(conversation_id) == "awaiting_user_input"
    asyncio.run(say(server, conversation_id, "No."))
    assert server.wait_for_rest(conversation_id) == "finished"
    asked = [t for t in llm.turns if "[after the replay]" in t.messages_text][-1]
    chat = asked.body["messages"]
    assert [m["role"] for m in chat] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert "echo replayed" in json.dumps(chat[2])
    assert chat[3]["content"].startswith("replayed")


async def say(server: Server, conversation_id: str, content: str) -> None:
    async with Client(server, conversation_id) as client:
        await client.act("message", content=content, image_urls=[])


def test_odd_characters_and_numbers_of_a_recording_are_kept_out_of_the_database(
    bare_server: Server,
) -> None:
    args = '{"command": "echo a\\u0000b\\ud800", "timeout": 1e999}'
    metadata = '{"tool_call_id": "x", "model_response": {"id": [], "choices": []}}'
    recording = (
        f'[{{"source": "agent", "action": "run", "args": {args},'
        f' "tool_call_metadata": {metadata}}}]'
    )
    conversation_id = bare_server.create("", replay_json=recording)
    assert bare_server.wait_for_rest(conversation_id) == "awaiting_user_input"
    assert_settled_once(bare_server.trajectory(conversation_id))


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        ("not json", "not valid JSON"),
        ("{}", "must be a JSON array"),
        ("[]", "no action of the agent"),
        ("[1]", "event 0 is int"),
        ('[{"id": 1}]', "event 0 has neither an action nor an observation"),
        ('[{"source": "agent", "action": "run", "args": {}}]', "event 0: run: command"),
        ('[{"source": "agent", "action": "run", "args": 1}]', "args must be an object"),
        ('[{"source": "agent", "action": "browse", "args": {}}]', "'browse' cannot be replayed"),
        ('[{"source": "agent", "action": "edit", "args": {"path": "x"}}]', "what to edit"),
        ('[{"source": "moon", "action": "run", "args": {"command": "x"}}]', "source 'moon'"),
        ("[" * 100_000, "not valid JSON"),
        ('[{"source": [], "action": "run", "args": {"command": "x"}}]', "must be strings"),
        ('[{"source": "agent", "action": ["x"], "observation": "y"}]', "must be strings"),
        ('[{"source": "agent", "action": "run", "args": {"command": NaN}}]', "run: command"),
    ],
)
def test_what_is_no_trajectory_is_refused_by_name_and_leaves_nothing(
    bare_server: Server, recording: str, said: str
) -> None:
    before = bare_server.ok("GET", "/api/conversations?limit=100")
    status, answer = bare_server.call("POST", "/api/conversations", {"replay_json": recording})
    assert status == 422
    assert said in answer["message"]
    assert answer["detail"][0]["loc"] == ["body", "replay_json"]
    assert bare_server.ok("GET", "/api/conversations?limit=100") == before
