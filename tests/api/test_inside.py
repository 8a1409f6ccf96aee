"""Below /api/conversations/<id>/: events, start, stop; and what is said of an unknown id."""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from tests.log_checks import assert_settled_once
from tests.scripted_llm import ScriptedLLMServer, calls, finish, run, text
from tests.serving import Server
from tests.waiting import until_true

URL = "/api/conversations"
SESSION_NOT_FOUND = (404, {"error": "Session not found"})
NAMES_NOTHING = ["0" * 32, "..", "%00", "a" * 5000, "A" * 32, "-1", "0" * 31, "%F0%9F%98%80", "%0A"]


@pytest.fixture(scope="module")
def told(server: Server, llm: ScriptedLLMServer) -> tuple[str, list[dict[str, Any]]]:
    """Give a finished conversation and all its events, as the socket shows them."""
    llm.script(
        [
            calls(run("echo Größe"), run("echo two"), content="First I look."),
            calls(run("echo three")),
            calls(finish("All is well.")),
        ],
        marker="[inside]",
    )
    conversation_id = server.create("Look around. [inside]")
    assert server.wait_for_rest(conversation_id) == "finished"
    trajectory = server.trajectory(conversation_id)
    shown = [{k: v for k, v in e.items() if k != "tool_call_metadata"} for e in trajectory]
    return conversation_id, shown


def events(server: Server, conversation_id: str, query: str = "") -> dict[str, Any]:
    answer = server.ok("GET", f"{URL}/{conversation_id}/events?{query}")
    assert set(answer) == {"events", "has_more", "next_id"}
    assert answer["has_more"] is (answer["next_id"] is not None)
    return dict(answer)


def all_pages(server: Server, conversation_id: str, query: str, start: str) -> list[dict[str, Any]]:
    collected: list[dict[str, Any]] = []
    answer = events(server, conversation_id, query)
    while answer["has_more"]:
        collected += answer["events"]
        answer = events(server, conversation_id, f"{query}&{start}={answer['next_id']}")
    return collected + list(answer["events"])


@pytest.mark.parametrize("limit", [1, 2, 3, 100, 1000])
def test_pages_of_events_hold_each_event_once_in_both_directions(
    server: Server, told: tuple[str, list[dict[str, Any]]], limit: int
) -> None:
    conversation_id, shown = told
    assert len(shown) > 6
    forward = all_pages(server, conversation_id, f"limit={limit}", "start_id")
    assert forward == shown
    backward = all_pages(server, conversation_id, f"limit={limit}&reverse=true", "end_id")
    assert backward == shown[::-1]


def test_a_page_of_events_goes_from_id_to_id(
    server: Server, told: tuple[str, list[dict[str, Any]]]
) -> None:
    conversation_id, shown = told

    def found(query: str) -> list[int]:
        return [event["id"] for event in events(server, conversation_id, query)["events"]]

    assert found("") == list(range(min(20, len(shown))))
    assert found("start_id=2&end_id=4") == [2, 3, 4]
    assert found("start_id=2&end_id=4&reverse=1") == [4, 3, 2]
    assert found("start_id=2&end_id=4&limit=2") == [2, 3]
    assert found("start_id=4&end_id=2") == []
    assert found("start_id=99") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=run", lambda e: "run" in (e.get("action"), e.get("observation"))),
        ("type=finish", lambda e: e.get("action") == "finish"),
        ("type=run&source=agent&query=THREE", lambda e: "three" in str(e)),
        ("source=user", lambda e: e["source"] == "user"),
        ("source=environment", lambda e: e["source"] == "environment"),
        ("query=gr%C3%B6%C3%9Fe", lambda e: "Größe" in str(e)),
        ("query=first%20i%20look", lambda e: "First I look." in str(e)),
        ("query=all%20is%20well", lambda e: "All is well." in str(e)),
        ("query=tool_call_id", lambda _: False),
        ("query=exit_code", lambda _: False),
        ("query=%25", lambda _: False),
    ],
)
def test_events_are_filtered_by_what_they_show(
    server: Server, told: tuple[str, list[dict[str, Any]]], query: str, expected: Any
) -> None:
    conversation_id, shown = told
    wanted = [event for event in shown if expected(event)]
    assert all_pages(server, conversation_id, f"{query}&limit=1", "start_id") == wanted
    backward = all_pages(server, conversation_id, f"{query}&limit=2&reverse=true", "end_id")
    assert backward == wanted[::-1]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("start_id=-1", "start_id"),
        ("start_id=x", "start_id"),
        ("end_id=" + "9" * 19, "end_id"),
        ("end_id=" + "9" * 5000, "end_id"),
        ("start_id=1_0", "start_id"),
        ("end_id=1.5", "end_id"),
        ("limit=0", "limit"),
        ("limit=", "limit"),
        ("reverse=perhaps", "reverse"),
        ("type=fly", "type"),
        ("source=cat", "source"),
        ("query=a%00b", "query"),
    ],
)
def test_a_question_for_events_that_is_none_is_refused(
    server: Server, told: tuple[str, list[dict[str, Any]]], query: str, named: str
) -> None:
    status, answer = server.call("GET", f"{URL}/{told[0]}/events?{query}")
    assert status == 422
    assert answer["message"].startswith(f"{named}: ")
    assert answer["detail"][0]["loc"] == ["query", named]


def test_stop_interrupts_and_start_goes_on(server: Server, llm: ScriptedLLMServer) -> None:
    llm.script(
        lambda request: (
            text("Back.")
            if request["messages"][-1]["role"] == "tool"
            else calls(run("sleep 60.60606"))
        ),
        marker="[start and stop]",
    )
    conversation_id = server.create("Sleep. [start and stop]")
    path = f"{URL}/{conversation_id}"
    until_true(lambda: any(e.get("action") == "run" for e in server.trajectory(conversation_id)))
    stopped = server.ok("POST", f"{path}/stop")
    assert stopped["message"] == "Conversation stopped"
    assert server.wait_for_rest(conversation_id) == "stopped"
    before = server.trajectory(conversation_id)
    again = server.ok("POST", f"{path}/stop")
    assert server.trajectory(conversation_id) == before
    assert again == {
        "status": "ok",
        "conversation_id": conversation_id,
        "conversation_status": "STOPPED",
        "message": "Conversation was not running",
    }
    started = server.ok("POST", f"{path}/start")
    assert started["conversation_status"] == "RUNNING"
    assert started["message"] == "Conversation started"
    assert server.wait_for_rest(conversation_id) == "awaiting_user_input"
    nothing = server.ok("POST", f"{path}/start")
    assert (nothing["conversation_status"], nothing["message"]) == (
        "STOPPED",
        "There was nothing to start",
    )
    assert_settled_once(server.trajectory(conversation_id))


def test_what_rests_is_neither_stopped_nor_started(server: Server) -> None:
    conversation_id = server.create("")
    path = f"{URL}/{conversation_id}"
    assert server.ok("POST", f"{path}/stop")["message"] == "Conversation was not running"
    assert server.ok("POST", f"{path}/start")["message"] == "There was nothing to start"
    assert server.state(conversation_id) == "awaiting_user_input"
    assert len(server.trajectory(conversation_id)) == 1


def test_stop_is_a_no_to_what_waits_for_a_yes(server: Server, llm: ScriptedLLMServer) -> None:
    llm.script(lambda _: calls(run("touch never")), marker="[stop waits]")
    server.use_model(llm.base_url, confirmation_mode=True)
    try:
        conversation_id = server.create("Ask me. [stop waits]")
        assert server.wait_for_rest(conversation_id) == "awaiting_user_confirmation"
        answer = server.ok("POST", f"{URL}/{conversation_id}/stop")
        assert answer["message"] == "Conversation stopped"
        assert server.wait_for_rest(conversation_id) == "stopped"
        assert_settled_once(server.trajectory(conversation_id))
        assert not (server.workspace(conversation_id) / "never").exists()
    finally:
        server.use_model(llm.base_url, confirmation_mode=False)


@pytest.mark.parametrize("conversation_id", NAMES_NOTHING)
def test_an_id_that_names_nothing_is_null_false_or_not_found(
    server: Server, conversation_id: str
) -> None:
    untouched = server.create("")
    path = f"{URL}/{conversation_id}"
    assert server.call("GET", path) == (200, None)
    assert server.call("PATCH", path, {"title": "x"}) == (200, False)
    assert server.call("PATCH", path, {"title": ""}) == (200, False)
    assert server.call("DELETE", path) == (200, False)
    for method, end in [
        ("GET", "trajectory"),
        ("GET", "events"),
        ("GET", "events?limit=0"),
        ("POST", "start"),
        ("POST", "stop"),
        ("GET", "start"),
        ("GET", "list-files"),
        ("DELETE", "nothing/at/all"),
        ("GET", ""),
        ("POST", "x%0Ay/.."),
        ("PUT", "trajectory"),
    ]:
        assert server.call(method, f"{path}/{end}") == SESSION_NOT_FOUND, (method, end)
    assert server.ok("GET", f"{URL}/{untouched}")["title"] == f"Conversation {untouched[:5]}"


def test_an_unknown_address_below_a_known_id_is_json(server: Server) -> None:
    conversation_id = server.create("")
    for end in ("nothing", "events/", "trajectory/x", "%2e%2e"):
        status, answer = server.call("GET", f"{URL}/{conversation_id}/{end}")
        assert status == 404
        assert answer["error"].startswith("There is nothing at /api/conversations/")
    for method, end in [("POST", "events"), ("GET", "start"), ("DELETE", "trajectory")]:
        status, answer = server.call(method, f"{URL}/{conversation_id}/{end}")
        assert (status, "not allowed" in answer["message"]) == (405, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/api/conversations/", 404),
        ("POST", "/api/settings/x", 404),
        ("GET", "/api/%00", 404),
        ("GET", "/api", 404),
        ("PUT", "/api/conversations", 405),
        ("POST", "/api/conversations/count", 405),
        ("DELETE", "/api/settings", 405),
    ],
)
def test_unknown_addresses_and_methods_are_json(
    server: Server, method: str, path: str, status: int
) -> None:
    answer = server.call(method, path, {})
    assert answer[0] == status
    assert isinstance(answer[1]["message"], str)


def test_head_of_what_can_be_read_has_no_body(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for path in (URL, f"{URL}/count", f"{URL}/{server.create('')}/events"):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
    connection.close()
