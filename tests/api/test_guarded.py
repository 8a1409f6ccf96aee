"""The guard stands before the API and the socket of a real server."""

from __future__ import annotations

import http.client

import pytest

from tests.serving import Server


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
    before = server.ok("GET", "/api/conversations/count")
    answer = server.call("POST", "/api/conversations", {"initial_user_msg": ""}, headers)
    assert answer[0] == status
    created = server.ok("GET", "/api/conversations/count") - before
    assert created == (1 if status == 200 else 0)


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
