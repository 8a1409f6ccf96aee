"""Downloads of several users: each has a share of the places."""

from __future__ import annotations

import http.client
import json

from tests.accounts.people import People
from tests.waiting import until_true

URL = "/api/conversations"


def noise(people: People, name: str) -> str:
    """Give the address of a zip of somebody's that does not fit between server and client."""
    command = {"command": "head -c 20000000 /dev/urandom > noise"}
    recorded = json.dumps([{"source": "agent", "action": "run", "args": command}])
    status, answer = people.call(name, "POST", URL, {"replay_json": recorded})
    assert status == 200
    path = f"{URL}/{answer['conversation_id']}"
    until_true(lambda: people.call(name, "GET", path)[1]["status"] == "STOPPED", seconds=60)
    return f"{path}/zip-directory"


def begun(people: People, name: str, path: str) -> tuple[http.client.HTTPConnection, int, str]:
    """Ask for a download and read no more than its head; give what was refused in words."""
    connection = http.client.HTTPConnection("127.0.0.1", people.server.port, timeout=20)
    connection.request("GET", path, headers=people.headers(name))
    response = connection.getresponse()
    if response.status == 200:
        return connection, 200, ""
    assert int(response.headers["Retry-After"]) > 0
    return connection, response.status, json.loads(response.read())["message"]


def test_one_user_downloads_two_at_a_time_and_leaves_the_rest_to_others(people: People) -> None:
    path = noise(people, "ada")
    trajectory = path.replace("zip-directory", "trajectory")
    held = [begun(people, "ada", path) for _ in range(2)]
    try:
        assert [status for _, status, _ in held] == [200, 200]
        for more in (path, trajectory):
            connection, status, message = begun(people, "ada", more)
            connection.close()
            assert status == 503
            assert "2 downloads of yours" in message
        other = people.create("bob")
        for _ in range(5):
            # Each gives its place back before its end is seen.
            assert people.call("bob", "GET", f"{URL}/{other}/trajectory")[0] == 200
    finally:
        for connection, _, _ in held:
            connection.close()
    until_true(lambda: people.call("ada", "GET", trajectory)[0] == 200, seconds=60)
