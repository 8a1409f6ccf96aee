"""POST /api/conversations: what works, what is refused, and that refusing leaves nothing behind."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.scripted_llm import ScriptedLLMServer, finish
from tests.serving import Server

NO_SETTINGS = {
    "status": "error",
    "message": "Settings not found",
    "msg_id": "CONFIGURATION$SETTINGS_NOT_FOUND",
}
NO_KEY = {
    "status": "error",
    "message": "Error authenticating with the LLM provider. Please check your API key",
    "msg_id": "STATUS$ERROR_LLM_AUTHENTICATION",
}
URL = "/api/conversations"
THOUGHT = {"source": "agent", "action": "think", "args": {"thought": "hm"}}


def listed(server: Server) -> list[str]:
    """Give the ids of the newest hundred."""
    answer = server.ok("GET", f"{URL}?limit=100")
    return [item["conversation_id"] for item in answer["results"]]


def test_create_answers_with_an_id_when_everything_is_stored(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: finish("Done."), marker="[create]")
    answer = server.ok(
        "POST",
        URL,
        {
            "initial_user_msg": "Hello. [create]",
            "image_urls": [],
            "selected_repository": {"id": 1, "full_name": "owner/name", "git_provider": "github"},
            "selected_branch": "main",
            "unknown": {"field": 1},
        },
    )
    assert set(answer) == {"status", "conversation_id"}
    assert answer["status"] == "ok"
    conversation_id = answer["conversation_id"]
    assert len(conversation_id) == 32
    assert conversation_id == conversation_id.lower()
    trajectory = server.trajectory(conversation_id)
    assert trajectory[0]["args"]["content"] == "Hello. [create]"
    assert trajectory[0]["source"] == "user"
    item = server.ok("GET", f"{URL}/{conversation_id}")
    assert item["selected_repository"] == "owner/name"
    assert item["status"] in {"RUNNING", "STOPPED"}
    assert server.wait_for_rest(conversation_id) == "finished"


def test_create_answers_before_the_agent_has_begun(server: Server, llm: ScriptedLLMServer) -> None:
    with llm.hold():
        llm.script(lambda _: finish("Done."), marker="[early]")
        conversation_id = server.create("No hurry. [early]")
        assert server.status(conversation_id) == "RUNNING"
        assert [event["id"] for event in server.trajectory(conversation_id)][:2] == [0, 1]
    assert server.wait_for_rest(conversation_id) == "finished"


@pytest.mark.parametrize("body", [{}, {"initial_user_msg": ""}, {"initial_user_msg": None}])
def test_create_with_nothing_to_do_waits_for_the_user(server: Server, body: Any) -> None:
    conversation_id = server.ok("POST", URL, body)["conversation_id"]
    assert [event.get("observation") for event in server.trajectory(conversation_id)] == [
        "agent_state_changed"
    ]
    assert server.state(conversation_id) == "awaiting_user_input"
    assert server.status(conversation_id) == "STOPPED"
    item = server.ok("GET", f"{URL}/{conversation_id}")
    assert item["title"] == f"Conversation {conversation_id[:5]}"
    assert item["selected_repository"] is None


def test_images_without_text_make_an_empty_message(server: Server, llm: ScriptedLLMServer) -> None:
    llm.script(lambda _: finish("Seen."), marker="iVBORw0KGgo-images-only")
    url = "data:image/png;base64,iVBORw0KGgo-images-only"
    conversation_id = server.create("", image_urls=[url])
    first = server.trajectory(conversation_id)[0]
    assert (first["action"], first["args"]["content"]) == ("message", "")
    assert first["args"]["image_urls"] == [url]
    assert server.wait_for_rest(conversation_id) == "finished"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("owner/name", "owner/name"),
        ({"full_name": "owner/name", "id": 7, "git_provider": "gitlab"}, "owner/name"),
        (None, None),
    ],
)
def test_a_repository_is_an_object_or_its_name(server: Server, given: Any, shown: Any) -> None:
    conversation_id = server.create("", selected_repository=given)
    assert server.ok("GET", f"{URL}/{conversation_id}")["selected_repository"] == shown


def test_create_refuses_without_settings(bare_server: Server) -> None:
    for body in ({"initial_user_msg": "x"}, {}):
        assert bare_server.call("POST", URL, body) == (400, NO_SETTINGS)
    assert listed(bare_server) == []


@pytest.mark.parametrize("key", ["", "   ", "\t"])
def test_create_refuses_a_blank_key_and_takes_a_recording_with_it(
    server: Server, llm: ScriptedLLMServer, key: str
) -> None:
    before = listed(server)
    try:
        server.use_model(llm.base_url, llm_api_key=key)
        assert server.call("POST", URL, {"initial_user_msg": "x"}) == (400, NO_KEY)
        assert listed(server) == before
        conversation_id = server.create("", replay_json=json.dumps([THOUGHT]))
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
    before = listed(server)
    status, answer = server.call("POST", URL, body)
    assert status == 422
    assert named in answer["message"]
    assert all(set(item) == {"type", "loc", "msg"} for item in answer["detail"])
    assert answer["detail"][0]["loc"][0] == "body"
    assert listed(server) == before


@pytest.mark.parametrize(
    ("recording", "said"),
    [
        ("{", "not valid JSON"),
        ("5", "must be a JSON array"),
        ("[]", "no action of the agent"),
        (json.dumps([THOUGHT, 5]), "event 1 is int"),
        (json.dumps([THOUGHT, {}]), "event 1 has neither"),
        (json.dumps([{**THOUGHT, "action": "fly"}]), "event 0: the action 'fly'"),
        (json.dumps([THOUGHT, {**THOUGHT, "args": {"thought": 5}}]), "event 1: think: thought"),
        (json.dumps([THOUGHT, {**THOUGHT, "source": "cat"}]), "event 1 has the source 'cat'"),
    ],
)
def test_what_is_no_recording_is_refused_at_its_event(
    server: Server, recording: str, said: str
) -> None:
    before = listed(server)
    status, answer = server.call("POST", URL, {"replay_json": recording})
    assert status == 422
    assert said in answer["message"]
    assert answer["detail"][0]["loc"] == ["body", "replay_json"]
    assert listed(server) == before


def test_the_same_key_and_body_give_the_same_conversation(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: finish("Once."), marker="[key]")
    key = {"Idempotency-Key": uuid4().hex}
    body = {"initial_user_msg": "Do it once. [key]", "selected_branch": "main"}
    status, first = server.call("POST", URL, body, key)
    assert status == 200
    assert server.call("POST", URL, dict(reversed(body.items())), key) == (200, first)
    server.wait_for_rest(first["conversation_id"])
    assert server.call("POST", URL, body, key) == (200, first)
    assert listed(server).count(first["conversation_id"]) == 1
    users = [e for e in server.trajectory(first["conversation_id"]) if e["source"] == "user"]
    assert len(users) == 1

    before = listed(server)
    status, answer = server.call("POST", URL, {**body, "selected_branch": "other"}, key)
    assert status == 409
    assert "take a new key" in answer["message"]
    assert listed(server) == before
    assert server.call("POST", URL, body)[1] != first, "without a key there is nothing to repeat"


def test_a_repeated_create_is_answered_even_when_a_new_one_would_be_refused(
    server: Server, llm: ScriptedLLMServer
) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = server.call("POST", URL, {}, key)
    try:
        server.use_model(llm.base_url, llm_api_key="")
        assert server.call("POST", URL, {}, key) == first
        assert server.call("POST", URL, {}, {"Idempotency-Key": uuid4().hex}) == (400, NO_KEY)
    finally:
        server.use_model(llm.base_url)


def test_creates_and_deletes_under_one_key_meet_no_error(server: Server) -> None:
    """A create may find the key taken, and its conversation deleted a moment later."""
    key = {"Idempotency-Key": uuid4().hex}

    def create_and_delete(_: int) -> list[int]:
        status, answer = server.call("POST", URL, {}, key)
        named = answer.get("conversation_id", "none")
        return [status, server.call("DELETE", f"{URL}/{named}")[0]]

    with ThreadPoolExecutor(6) as pool:
        statuses = [status for pair in pool.map(create_and_delete, range(150)) for status in pair]
    assert set(statuses) == {200}


def test_many_creates_with_one_key_at_once_create_one(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: finish("Once."), marker="[at once]")
    key = {"Idempotency-Key": uuid4().hex}
    body = {"initial_user_msg": "One of many. [at once]"}
    before = set(listed(server))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.call("POST", URL, body, key), range(24)))
    assert {status for status, _ in answers} == {200}
    assert len({answer["conversation_id"] for _, answer in answers}) == 1
    assert len(set(listed(server)) - before) == 1


def test_a_key_is_free_again_when_its_conversation_is_deleted(server: Server) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = server.call("POST", URL, {}, key)[1]["conversation_id"]
    assert server.ok("DELETE", f"{URL}/{first}") is True
    status, second = server.call("POST", URL, {"selected_branch": "other"}, key)
    assert status == 200
    assert second["conversation_id"] != first


@pytest.mark.parametrize("key", ["", " ", "two words", "one,two", "x" * 256, "\xe4"])
def test_a_key_that_is_none_is_refused(server: Server, key: str) -> None:
    before = listed(server)
    status, answer = server.call("POST", URL, {}, {"Idempotency-Key": key})
    assert status == 422
    assert answer["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert "visible ASCII" in answer["message"]
    assert listed(server) == before


def test_a_body_without_a_type_is_json_and_accept_is_not_looked_at(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for accept in ("text/html", "garbage", "application/xml;q=0.9"):
        connection.request("POST", URL, b"{}", {"Accept": accept})
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert (response.status, answer["status"]) == (200, "ok")
    connection.request("POST", URL, b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    assert response.status == 415
    assert "form" in json.loads(response.read())["message"]
    connection.close()
