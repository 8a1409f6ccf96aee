"""The throttle of accounts mode: by default so many requests of a user, then a while of 429."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from settings_app.throttle import rate_parse
from tests.databases import ROOT
from tests.serving import CALM, Server

PATH = "/api/conversations/count"
_MAKE = """
import json
from knox.models import AuthToken
from settings_app.models import User
users = {name: User.objects.create(username=name) for name in ("ada", "bob", "busy")}
print(json.dumps({name: AuthToken.objects.create(user=user)[1] for name, user in users.items()}))
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """On SQLite there is one process; on PostgreSQL two share the count."""
    folder = tmp_path_factory.mktemp("throttled")
    options: dict[str, Any] = {
        "AUTH_MODE": "accounts",
        "ALLOWED_HOSTS": "127.0.0.1",
        "REQUEST_THROTTLE": "20/hour",
    }
    made = [Server(folder, entry=CALM, **options)]
    if made[0].database:
        made.append(Server(folder, beside=made[0], entry=CALM, **options))
    for server in made:
        server.start()
    yield made
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def headers(servers: list[Server]) -> dict[str, dict[str, str]]:
    """Give what each user's script sends."""
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", _MAKE],
        cwd=ROOT,
        env=servers[0].environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return {name: {"Authorization": f"Token {t}"} for name, t in json.loads(done.stdout).items()}


def test_a_user_who_asks_too_often_is_told_when_to_come_back(
    servers: list[Server], headers: dict[str, dict[str, str]]
) -> None:
    server = servers[0]
    statuses = [server.call("GET", PATH, None, headers["ada"])[0] for _ in range(25)]
    assert statuses == [200] * 20 + [429] * 5
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", PATH, headers=headers["ada"])
    response = connection.getresponse()
    assert 1 <= int(response.headers["Retry-After"]) <= 3600
    assert b"message" in response.read()
    connection.close()
    assert server.call("GET", PATH, None, headers["bob"])[0] == 200, "each for himself"


def test_many_at_once_get_no_more_than_the_rate_from_all_processes_together(
    servers: list[Server], headers: dict[str, dict[str, str]]
) -> None:
    def ask(number: int) -> int:
        return servers[number % len(servers)].call("GET", PATH, None, headers["busy"])[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(ask, range(64)))
    assert sorted(statuses) == [200] * 20 + [429] * 44


@pytest.mark.parametrize(
    ("rate", "read"), [("50/s", (50, 1)), ("600/minute", (600, 60)), ("9/day", (9, 86_400))]
)
def test_a_rate_is_read(rate: str, read: tuple[int, int]) -> None:
    assert rate_parse(rate) == read
