"""A key that turns up where it should not: in what a user says, a model answers, a recording holds.

What the servers of the run stored, sent and logged is searched for it when the run ends.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conversations.events.cleaning import MASK
from tests import secrets_search
from tests.scripted_llm import ScriptedLLMServer, calls, finish, raw_call, run, text, think
from tests.secrets_search import KEY, TOKEN, assert_tells_no_secret, found
from tests.serving import Client, Server
from tests.waiting import until_true

URL = "/api/conversations"


@pytest.fixture(autouse=True)
def _with_token(server: Server) -> None:
    server.ok("POST", "/api/settings", {"provider_tokens": {"github": TOKEN}})


async def test_a_key_in_a_conversation_is_masked_wherever_it_stands(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(
        [
            calls(think(f"The key is {KEY}."), run(f"echo {KEY} {TOKEN}"), content=f"Aha: {KEY}"),
            calls(raw_call(f"tool_{KEY}", json.dumps({KEY: [TOKEN]}))),
            text(f"Your key is {KEY}, your token {TOKEN}."),
            calls(finish(f"{KEY}")),
        ],
        marker="[leak]",
    )
    llm.title_answer = f"Use {KEY}"
    try:
        conversation_id = server.create(f"My key is {KEY}, and {TOKEN}. [leak]")
        async with Client(server, conversation_id) as client:
            await client.wait_for_state("awaiting_user_input")
            await client.act("message", content=f"Again: {KEY}", image_urls=[])
            await client.wait_for_state("finished")
            assert any(MASK in str(event) for event in client.events)
        path = f"{URL}/{conversation_id}"
        until_true(lambda: MASK in server.ok("GET", path)["title"])
        assert MASK in json.dumps(server.trajectory(conversation_id))
        for query in ("", f"query={KEY}", "type=run"):
            server.ok("GET", f"{path}/events?{query}")
    finally:
        llm.title_answer = "A fine title"


def test_a_key_in_a_recording_is_masked_where_it_is_kept(server: Server) -> None:
    recording = [
        {"source": "user", "action": "message", "args": {"content": f"My key: {KEY}"}},
        {"source": "agent", "action": "run", "args": {"command": f"echo {KEY}"}},
    ]
    conversation_id = server.create("", replay_json=json.dumps(recording))
    server.ok("POST", f"{URL}/{conversation_id}/stop")
    until_true(lambda: server.status(conversation_id) == "STOPPED")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", URL, {"initial_user_msg": [KEY]}),
        ("POST", URL, {"selected_repository": {"name": KEY}}),
        ("POST", URL, {"replay_json": json.dumps([{KEY: KEY}])}),
        ("POST", "/api/settings", {"confirmation_mode": KEY}),
        ("POST", "/api/settings", {"llm_api_key": [KEY]}),
        ("POST", "/api/settings", {"llm_api_key": KEY + "\n"}),
        ("POST", "/api/settings", {"provider_tokens": {"github": {"token": TOKEN}}}),
        ("POST", "/api/settings", {"provider_tokens": TOKEN}),
        ("GET", "/api/settings", None),
    ],
)
def test_no_answer_repeats_a_key(server: Server, method: str, path: str, body: Any) -> None:
    # Every answer is looked at as it comes (tests/serving.py).
    assert server.call(method, path, body)[0] in {200, 422}


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"key={KEY}")
    before = list(secrets_search._places)
    try:
        secrets_search.remember(tmp_path, None)
        assert found() == [str(tmp_path / "log")]
    finally:
        secrets_search._places[:] = before
    with pytest.raises(AssertionError, match="a secret was sent"):
        assert_tells_no_secret({"a": [KEY]})
