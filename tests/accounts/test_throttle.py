"""The throttle of accounts mode: by default so many requests of a user, then a while of 429."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from settings_app.throttle import rate_parse
from tests.accounts.people import People
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server

_MAKE = """
from knox.models import AuthToken
from settings_app.models import User
print(AuthToken.objects.create(user=User.objects.create_user("busy"))[1])
"""


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


def test_many_at_once_get_no_more_than_the_rate_from_all_processes_together(
    tmp_path: Path, llm: ScriptedLLMServer
) -> None:
    """On SQLite there is one process; on PostgreSQL two share the count."""
    options: dict[str, Any] = {
        "AUTH_MODE": "accounts",
        "ALLOWED_HOSTS": "127.0.0.1",
        "LLM_BASE_URL_ALLOW": "127.0.0.1",
        "REQUEST_THROTTLE": "20/hour",
    }
    servers = [Server(tmp_path, **options)]
    if servers[0].database:
        servers.append(Server(tmp_path, beside=servers[0], **options))
    for server in servers:
        server.start()
    try:
        people = People(servers[0], llm)

        def ask(number: int) -> int:
            server = servers[number % len(servers)]
            headers = people.headers("busy")
            return server.call("GET", "/api/conversations/count", None, headers)[0]

        people.tokens["busy"] = people.python(_MAKE).strip()
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(ask, range(64)))
        assert sorted(statuses) == [200] * 20 + [429] * 44
    finally:
        for server in servers:
            server.stop()


@pytest.mark.parametrize(
    ("rate", "read"), [("50/s", (50, 1)), ("600/minute", (600, 60)), ("9/day", (9, 86_400))]
)
def test_a_rate_is_read(rate: str, read: tuple[int, int]) -> None:
    assert rate_parse(rate) == read
