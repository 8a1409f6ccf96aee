"""What a server logs: one JSON object a line, with the request and the conversation it is about."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import ROOT
from tests.scripted_llm import ScriptedLLMServer, error, text
from tests.serving import Client, Server, free_port
from tests.waiting import until_true


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("logs"), LOG_FORMAT="json")
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.stop()
    # On the standard output, for people.
    said = f"Handrail listens on {made.address}"
    assert [line for line in made.log.splitlines() if line[:1] != "{" and line != said] == []


def logged(server: Server, **wanted: Any) -> list[dict[str, Any]]:
    """Give the lines that have these values."""
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    return [line for line in lines if wanted.items() <= line.items()]


def test_a_line_names_the_request_and_the_conversation(server: Server) -> None:
    path = f"/api/conversations/{'0' * 32}/list-files"
    assert server.call("GET", path, None, {"X-Request-ID": "from-the-proxy.1"})[0] == 404
    until_true(lambda: bool(logged(server, request_id="from-the-proxy.1")))
    (line,) = logged(server, request_id="from-the-proxy.1")
    assert line["conversation"] == "0" * 32
    assert line["level"] == "warning"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("odd", ["", "a b", 'x"}', "y" * 65, "é", "a\tb"])
def test_a_request_without_a_fit_name_is_given_one(server: Server, odd: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/api/nothing", headers={"X-Request-ID": odd.encode()})
    given = connection.getresponse().headers["X-Request-ID"]
    connection.close()
    assert given != odd
    assert len(given) == 32
    until_true(lambda: bool(logged(server, request_id=given)))


async def test_what_a_turn_logs_names_its_conversation(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.title_answer = error(500, "no titles today")
    try:
        llm.script([text("Done.")], marker="[logs]")
        conversation_id = server.create("Say that it is done. [logs]")
        async with Client(server, conversation_id) as client:
            await client.wait_for_state("awaiting_user_input")
        until_true(
            lambda: bool(logged(server, conversation=conversation_id, event="title_without_llm"))
        )
    finally:
        llm.title_answer = text("A fine title")


def test_a_start_that_fails_says_why_under_any_server(tmp_path: Path) -> None:
    (tmp_path / "sweeping.lock").mkdir()
    started = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "uvicorn", "project.asgi:application", "--port", str(free_port())],
        cwd=ROOT,
        env={"PATH": os.defpath, "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode != 0
    assert "start_failed" in started.stderr
    assert "sweeping.lock cannot be opened" in started.stderr
