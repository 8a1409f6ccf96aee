"""Many connections rename the same conversations at once: no answer is an error, none is lost."""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import pytest

from tests.serving import JSON, Server
from tests.waiting import DEADLINE_SECONDS

CONNECTIONS = 16
CONVERSATIONS = 20


@dataclass(frozen=True, slots=True)
class Rename:
    """One answered request, with the time (monotonic) in which it must have taken effect."""

    conversation_id: str
    title: str
    begin: float
    end: float
    status: int
    answer: str


class Renamer(threading.Thread):
    """One connection that renames, one conversation after another, until it is told to end."""

    def __init__(self, server: Server, ids: list[str], number: int, end: float) -> None:
        super().__init__(daemon=True)
        self.renames: list[Rename] = []
        self._server, self._ids, self._number, self._end = server, ids, number, end
        self._random = random.Random(number)  # noqa: S311  # a seed, not a secret

    def run(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._server.port, timeout=DEADLINE_SECONDS
        )
        while time.monotonic() < self._end:
            conversation_id = self._random.choice(self._ids)
            title = f"title {self._number}-{len(self.renames)}"
            path = f"/api/conversations/{conversation_id}"
            begin = time.monotonic()
            connection.request("PATCH", path, json.dumps({"title": title}), JSON)
            response = connection.getresponse()
            answer = response.read().decode()
            self.renames.append(
                Rename(conversation_id, title, begin, time.monotonic(), response.status, answer)
            )
        connection.close()


def _rename_for(server: Server, seconds: float) -> int:
    """Rename for a while and check the outcome; give the number of requests."""
    ids = [server.create("") for _ in range(CONVERSATIONS)]
    end = time.monotonic() + seconds
    renamers = [Renamer(server, ids, number, end) for number in range(CONNECTIONS)]
    for renamer in renamers:
        renamer.start()
    for renamer in renamers:
        renamer.join(seconds + DEADLINE_SECONDS)
        assert not renamer.is_alive()
    renames = [rename for renamer in renamers for rename in renamer.renames]
    assert {(rename.status, rename.answer) for rename in renames} == {(200, "true")}

    of_one: defaultdict[str, list[Rename]] = defaultdict(list)
    for rename in renames:
        of_one[rename.conversation_id].append(rename)
    listed = server.ok("GET", "/api/conversations?limit=100")["results"]
    titles = {item["conversation_id"]: item["title"] for item in listed}
    for conversation_id in ids:
        kept = next(r for r in of_one[conversation_id] if r.title == titles[conversation_id])
        later = [r for r in of_one[conversation_id] if r.begin > kept.end]
        assert not later, "a title that was accepted later is lost"
        assert [event["id"] for event in server.trajectory(conversation_id)] == [0]
    return len(renames)


def test_sixteen_connections_rename_twenty_conversations(server: Server) -> None:
    assert _rename_for(server, 2.0) > CONVERSATIONS


@pytest.mark.chaos
def test_sixteen_connections_rename_twenty_conversations_for_ten_seconds(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = _rename_for(server, 10.0)
    with capsys.disabled():
        sys.stdout.write(f"\n{requests} renames in 10 s by {CONNECTIONS} connections\n")
