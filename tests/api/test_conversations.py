"""Conversations over HTTP: what works, what is refused, and that refusing leaves nothing behind."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.scripted_llm import ScriptedLLMServer, finish
from tests.serving import Server
from tests.waiting import until_true


def test_create_answers_with_an_id_when_everything_is_stored(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: finish("Done."), marker="[create]")
    answer = server.ok(
        "POST",
        "/api/conversations",
        {
            "initial_user_msg": "Hello. [create]",
            "image_urls": [],
            "selected_repository": {"id": 1, "full_name": "owner/name", "git_provider": "github"},
            "unknown": {"field": 1},
        },
    )
    assert answer["status"] == "ok"
    conversation_id = answer["conversation_id"]
    assert len(conversation_id) == 32
    assert conversation_id == conversation_id.lower()
    trajectory = server.trajectory(conversation_id)
    assert trajectory[0]["args"]["content"] == "Hello. [create]"
    assert trajectory[0]["source"] == "user"
    item = server.ok("GET", f"/api/conversations/{conversation_id}")
    assert item["title"] == f"Conversation {conversation_id[:5]}"
    assert item["selected_repository"] == "owner/name"
    assert item["status"] in {"RUNNING", "STOPPED"}
    assert server.wait_for_rest(conversation_id) == "finished"


def test_create_refuses_without_settings_and_with_a_blank_key(bare_server: Server) -> None:
    body = {"initial_user_msg": "x"}
    assert bare_server.call("POST", "/api/conversations", body) == (
        400,
        {
            "status": "error",
            "message": "Settings not found",
            "msg_id": "CONFIGURATION$SETTINGS_NOT_FOUND",
        },
    )


def test_create_refuses_a_blank_key_and_takes_a_recording_with_it(
    server: Server, llm: ScriptedLLMServer
) -> None:
    before = server.ok("GET", "/api/conversations?limit=100")["results"]
    try:
        server.use_model(llm.base_url, llm_api_key="   ")
        status, answer = server.call("POST", "/api/conversations", {"initial_user_msg": "x"})
        assert status == 400
        assert answer == {
            "status": "error",
            "message": "Error authenticating with the LLM provider. Please check your API key",
            "msg_id": "STATUS$ERROR_LLM_AUTHENTICATION",
        }
        assert server.ok("GET", "/api/conversations?limit=100")["results"] == before
        recording = [{"source": "agent", "action": "think", "args": {"thought": "hm"}}]
        conversation_id = server.create("", replay_json=json.dumps(recording))
        assert server.wait_for_rest(conversation_id) == "awaiting_user_input"
    finally:
        server.use_model(llm.base_url)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"null", "body"),
        (b"[" * 50_000, "body"),
        ({"initial_user_msg": 1}, "initial_user_msg"),
        ({"initial_user_msg": "a\x00b"}, "initial_user_msg"),
        (b'{"initial_user_msg": "\\ud800"}', "initial_user_msg"),
        ({"initial_user_msg": "x" * 1_000_001}, "initial_user_msg"),
        ({"initial_user_msg": "x", "image_urls": "y"}, "image_urls"),
        ({"initial_user_msg": "x", "image_urls": [1]}, "image_urls"),
        ({"initial_user_msg": "x", "image_urls": ["y"] * 21}, "image_urls"),
        ({"initial_user_msg": "x", "selected_repository": 5}, "selected_repository"),
        ({"initial_user_msg": "x", "selected_repository": {}}, "selected_repository"),
        ({"initial_user_msg": "x", "selected_branch": []}, "selected_branch"),
        ({"replay_json": 5}, "replay_json"),
    ],
)
def test_bad_input_to_create_is_named_and_creates_nothing(
    server: Server, body: Any, named: str
) -> None:
    before = server.ok("GET", "/api/conversations?limit=100")["results"]
    status, answer = server.call("POST", "/api/conversations", body)
    assert status == 422
    assert named in answer["message"]
    assert all(set(item) == {"type", "loc", "msg"} for item in answer["detail"])
    after = server.ok("GET", "/api/conversations?limit=100")["results"]
    assert [c["conversation_id"] for c in after] == [c["conversation_id"] for c in before]


@pytest.mark.parametrize(
    "conversation_id",
    ["0" * 32, "..", "%00", "a" * 5000, "A" * 32, "-1", "0" * 31, "%F0%9F%98%80"],
)
def test_an_id_that_names_nothing_is_null_false_or_not_found(
    server: Server, conversation_id: str
) -> None:
    path = f"/api/conversations/{conversation_id}"
    assert server.call("GET", path) == (200, None)
    assert server.call("PATCH", path, {"title": "x"}) == (200, False)
    assert server.call("DELETE", path) == (200, False)
    assert server.call("GET", f"{path}/trajectory") == (404, {"error": "Session not found"})


def test_a_title_that_a_user_gives_is_kept(server: Server) -> None:
    conversation_id = server.create("")
    path = f"/api/conversations/{conversation_id}"
    assert server.ok("PATCH", path, {"title": "  My title  "}) is True
    assert server.ok("GET", path)["title"] == "My title"
    assert server.call("PATCH", path, {"title": "x" * 256})[0] == 422
    assert server.call("PATCH", path, {"title": "two\nlines"})[0] == 422
    assert server.call("PATCH", path, {"title": "a\x00b"})[0] == 422
    assert server.call("PATCH", path, {"title": 7})[0] == 422
    assert server.call("PATCH", path, {})[0] == 422
    assert server.ok("GET", path)["title"] == "My title"


def test_a_blank_title_asks_for_one_made_of_the_first_message(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: finish("Done."), marker="[title]")
    conversation_id = server.create("Sort the lines of a file by their length. [title]")
    path = f"/api/conversations/{conversation_id}"
    assert server.ok("PATCH", path, {"title": " "}) is True
    assert server.ok("GET", path)["title"] == "Sort the lines of a file by th..."
    assert server.wait_for_rest(conversation_id) == "finished"


def test_the_list_shows_the_newest_first_and_holds_to_its_limit(server: Server) -> None:
    made = [server.create("") for _ in range(3)]
    listed = server.ok("GET", "/api/conversations?limit=2")
    assert [c["conversation_id"] for c in listed["results"]] == [made[2], made[1]]
    assert set(listed["results"][0]) == {
        "conversation_id",
        "title",
        "selected_repository",
        "created_at",
        "last_updated_at",
        "status",
    }
    assert server.call("GET", "/api/conversations?limit=1000")[0] == 200
    for wrong in ("0", "-1", "x", "1.5", "", "9" * 50):
        status, answer = server.call("GET", f"/api/conversations?limit={wrong}")
        assert (status, wrong) == (200 if wrong == "9" * 50 else 422, wrong)
        assert status == 200 or "limit" in answer["message"]


def test_delete_hides_at_once_and_clears_away(server: Server, llm: ScriptedLLMServer) -> None:
    conversation_id = server.create("")
    workspace = server.workspace(conversation_id)
    path = f"/api/conversations/{conversation_id}"
    assert server.ok("DELETE", path) is True
    assert server.ok("GET", path) is None
    assert server.ok("DELETE", path) is False
    assert server.call("GET", f"{path}/trajectory")[0] == 404
    until_true(lambda: not workspace.exists())


def test_unknown_addresses_and_methods_are_json(server: Server) -> None:
    status, answer = server.call("GET", "/api/nothing")
    assert (status, "error" in answer) == (404, True)
    assert server.call("PUT", "/api/conversations", {})[0] == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
)
def test_the_guard_stands_before_the_api(
    server: Server, headers: dict[str, str], status: int
) -> None:
    before = len(server.ok("GET", "/api/conversations?limit=100")["results"])
    answer = server.call("POST", "/api/conversations", {"initial_user_msg": ""}, headers)
    assert answer[0] == status
    after = len(server.ok("GET", "/api/conversations?limit=100")["results"])
    assert after in {before, 100} if status == 403 else after in {before + 1, 100}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_the_guard_stands_before_the_socket(
    server: Server, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(
        "GET",
        "/socket.io/?EIO=4&transport=websocket",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        },
    )
    assert connection.getresponse().status == status
    connection.close()
