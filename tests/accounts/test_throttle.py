"""The throttle of accounts mode: by default so many requests of a user, then a while of 429."""

from __future__ import annotations

import http.client
from pathlib import Path

from tests.accounts.people import People
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server


def test_a_user_who_asks_too_often_is_told_when_to_come_back(
    tmp_path: Path, llm: ScriptedLLMServer
) -> None:
    server = Server(
        tmp_path,
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="127.0.0.1",
        LLM_BASE_URL_ALLOW="127.0.0.1",
        REQUEST_THROTTLE="20/minute",
    )
    server.start()
    try:
        people = People(server, llm)
        statuses = [people.call("ada", "GET", "/api/conversations/count")[0] for _ in range(25)]
        assert statuses[:15] == [200] * 15
        assert statuses[-1] == 429
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/api/conversations/count", headers=people.headers("ada"))
        response = connection.getresponse()
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert b"message" in response.read()
        connection.close()
        assert people.call("bob", "GET", "/api/conversations/count")[0] == 200, "each for himself"
    finally:
        server.stop()
