"""GET /api/conversations and …/count: pages, filters, limits, and what is no page."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.scripted_llm import ScriptedLLMServer, finish
from tests.serving import Server

URL = "/api/conversations"


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["conversation_id"] for item in answer["results"]]


def pages(server: Server, query: str) -> list[list[str]]:
    """Collect all pages of a list, at most twenty."""
    collected = []
    answer = server.ok("GET", f"{URL}?{query}")
    while True:
        collected.append(ids(answer))
        if answer["next_page_id"] is None:
            return collected
        assert len(collected) < 20
        answer = server.ok("GET", f"{URL}?{query}&page_id={answer['next_page_id']}")


def test_the_list_shows_the_newest_first_in_the_contracts_form(server: Server) -> None:
    made = [server.create("") for _ in range(3)]
    listed = server.ok("GET", f"{URL}?limit=2")
    assert ids(listed) == [made[2], made[1]]
    assert set(listed) == {"results", "next_page_id"}
    assert set(listed["results"][0]) == {
        "conversation_id",
        "title",
        "selected_repository",
        "created_at",
        "last_updated_at",
        "status",
    }


@pytest.mark.parametrize(("number", "limit"), [(0, 2), (1, 2), (2, 2), (4, 2), (5, 2), (5, 9)])
def test_pages_are_full_and_the_last_one_says_so(server: Server, number: int, limit: int) -> None:
    repository = f"owner/{uuid4().hex}"
    made = [server.create("", selected_repository=repository) for _ in range(number)]
    collected = pages(server, f"limit={limit}&selected_repository={repository}")
    assert [i for page in collected for i in page] == made[::-1]
    assert all(len(page) == limit for page in collected[:-1])
    assert len(collected[-1]) > 0 or number == 0
    assert server.ok("GET", f"{URL}/count?selected_repository={repository}") == number


def test_no_limit_is_twenty_and_a_large_one_a_hundred(server: Server) -> None:
    repository = f"owner/{uuid4().hex}"
    for _ in range(101):
        server.create("", selected_repository=repository)
    query = f"{URL}?selected_repository={repository}"
    assert len(server.ok("GET", query)["results"]) == 20
    for large in ("100", "101", "1000", "9" * 50, "9" * 5000):
        assert len(server.ok("GET", f"{query}&limit={large}")["results"]) == 100
    assert server.ok("GET", f"{URL}/count?selected_repository={repository}") == 101


@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "000",
        "-1",
        "x",
        "1.5",
        "1.0",
        "",
        "%00",
        "1e3",
        "1_0",
        "%2B5",
        "%205",
        "%D9%A3",
        "5%0A",
    ],
)
def test_a_limit_that_is_none_is_refused(server: Server, limit: str) -> None:
    status, answer = server.call("GET", f"{URL}?limit={limit}")
    assert status == 422
    assert answer["message"].startswith("limit: ")
    assert answer["detail"][0]["loc"] == ["query", "limit"]


@pytest.mark.parametrize(
    "page_id",
    [
        "x",
        "MA==",
        "0",
        "../..",
        "%00",
        "a" * 5000,
        "A" * 31,
        "A" * 33,
        "f" * 32,
        "gAAA" + "A" * 28,
        "%C3%A4",
        "A" * 31 + "=",
        "A" * 31 + "%0A",
    ],
)
def test_a_page_that_is_none_is_refused(server: Server, page_id: str) -> None:
    status, answer = server.call("GET", f"{URL}?page_id={page_id}")
    assert status == 422
    assert answer["message"].startswith("page_id: is not a next_page_id")
    assert answer["detail"][0]["loc"] == ["query", "page_id"]


def test_an_empty_page_id_is_the_first_page_and_one_before_all_time_is_empty(
    server: Server,
) -> None:
    newest = server.create("")
    assert ids(server.ok("GET", f"{URL}?limit=1&page_id=")) == [newest]
    assert server.ok("GET", f"{URL}?page_id={'A' * 32}") == {"results": [], "next_page_id": None}


def test_a_deleted_conversation_leaves_its_page_usable(server: Server) -> None:
    repository = f"owner/{uuid4().hex}"
    made = [server.create("", selected_repository=repository) for _ in range(5)]
    query = f"limit=2&selected_repository={repository}"
    first = server.ok("GET", f"{URL}?{query}")
    for conversation_id in (made[3], made[2]):  # the page's last row, and the next one's first
        assert server.ok("DELETE", f"{URL}/{conversation_id}") is True
    second = server.ok("GET", f"{URL}?{query}&page_id={first['next_page_id']}")
    assert ids(second) == [made[1], made[0]]
    assert second["next_page_id"] is None


def test_the_list_is_filtered_by_the_title_as_it_is_shown(server: Server) -> None:
    word = uuid4().hex
    named, untitled = server.create(""), server.create("")
    server.ok("PATCH", f"{URL}/{named}", {"title": f"100% of {word} Ärger_1"})
    assert ids(server.ok("GET", f"{URL}?query={word.upper()}")) == [named]
    assert server.ok("GET", f"{URL}/count?query={word}") == 1
    for part in (f"100% of {word}", f"{word} Ärger_", f"of {word} Ä"):
        assert ids(server.ok("GET", f"{URL}?query={quote(part)}")) == [named]
    # Neither of the two is a joker.
    for part in (f"1%{word}", f"{word}_Ärger"):
        assert ids(server.ok("GET", f"{URL}?query={quote(part)}")) == []
    shown = quote(f"conversation {untitled[:5]}")
    assert untitled in ids(server.ok("GET", f"{URL}?query={shown}&limit=100"))
    assert named not in ids(server.ok("GET", f"{URL}?query={shown}&limit=100"))


def test_the_list_is_filtered_by_status(server: Server, llm: ScriptedLLMServer) -> None:
    repository = f"owner/{uuid4().hex}"
    query = f"selected_repository={repository}"
    with llm.hold():
        llm.script(lambda _: finish("Done."), marker="[status]")
        idle = server.create("", selected_repository=repository)
        busy = server.create("Work. [status]", selected_repository=repository)
        running = server.ok("GET", f"{URL}?{query}&status=RUNNING")
        assert ids(running) == [busy]
        assert running["results"][0]["status"] == "RUNNING"
        assert ids(server.ok("GET", f"{URL}?{query}&status=STOPPED")) == [idle]
        assert ids(server.ok("GET", f"{URL}?{query}&status=")) == [busy, idle]
        assert server.ok("GET", f"{URL}/count?{query}&status=RUNNING") == 1
    server.wait_for_rest(busy)
    assert ids(server.ok("GET", f"{URL}?{query}&status=RUNNING")) == []
    assert ids(server.ok("GET", f"{URL}?{query}&status=STOPPED")) == [busy, idle]


@pytest.mark.parametrize("path", [URL, f"{URL}/count"])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=running", "status"),
        ("status=%00", "status"),
        ("query=a%00b", "query"),
        ("query=" + "x" * 256, "query"),
        ("selected_repository=%00", "selected_repository"),
    ],
)
def test_a_filter_that_is_none_is_refused(
    server: Server, path: str, query: str, named: str
) -> None:
    status, answer = server.call("GET", f"{path}?{query}")
    assert status == 422
    assert answer["message"].startswith(f"{named}: ")
    assert answer["detail"][0]["loc"] == ["query", named]


def test_parameters_that_nobody_knows_are_ignored(server: Server) -> None:
    assert server.call("GET", f"{URL}?limit=1&offset=5&foo=bar&format=xml")[0] == 200
