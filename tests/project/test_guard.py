"""The guard, driven as a real ASGI layer under a real server, by raw sockets."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from project.guard import MAX_BODY_BYTES
from tests.project.guarded_server import (
    DEADLINE,
    ENDLESS,
    Headers,
    Served,
    read_answer,
    serving,
)
from tests.waiting import until_true

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["httptools", "h11"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(http_parser=request.param) as running:
        yield running


@pytest.fixture
def served(server: Served) -> Served:
    server.application.seen.clear()
    server.application.body_lengths.clear()
    return server


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:3000", "127.0.0.1:1", "[::1]:3000", "app.localhost", "localhost."],
)
def test_loopback_names_come_in_under_any_port(served: Served, host: str) -> None:
    assert served.ask(headers={"Host": host})[0] == 200
    assert served.handshake(host=host) == 101


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "192.168.0.7",
        "0.0.0.0",  # noqa: S104  # a name that a browser may send, nothing is bound to it
        "[::ffff:7f00:1]",
        "localhost@evil.example",
        "localhost:port",
        "",
    ],
)
def test_rebound_host_is_refused_for_every_request_and_socket(served: Served, host: str) -> None:
    status, body = served.ask(headers={"Host": host})
    assert status == 403
    assert "message" in body
    assert served.handshake(host=host) == 403
    assert served.application.seen == []


def test_rebound_page_is_refused_though_the_browser_calls_it_same_origin(served: Served) -> None:
    headers = {
        "Host": f"evil.example:{served.port}",
        "Origin": f"http://evil.example:{served.port}",
        "Sec-Fetch-Site": "same-origin",
    }
    assert served.ask("POST", headers=headers, body=b"{}")[0] == 403
    assert served.application.seen == []


def test_two_hosts_and_no_host_are_refused(served: Served) -> None:
    twice = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    none = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    old = b"GET / HTTP/1.0\r\n\r\n"
    for raw in (twice, none, old):
        # 400 where the server's own parser was first.
        assert served.exchange(raw)[0] in (400, 403)
    assert served.application.seen == []
    once = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert served.exchange(once)[0] == 200


OWN = "localhost:3000"
FROM_ELSEWHERE: list[Headers] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{OWN}"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:3001"},
    {"Origin": "http://localhost"},
    {"Origin": "http://127.0.0.1:3000"},
    {"Origin": f"http://{OWN}.evil.example"},
    {"Origin": f"ftp://{OWN}"},
    {"Origin": OWN},
    {"Origin": "null"},
    {"Origin": ""},
]
FROM_HERE: list[Headers] = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{OWN}"},
    {"Origin": f"http://{OWN}"},
    {"Origin": f"https://{OWN}"},
    {"Origin": f"HTTP://{OWN.upper()}"},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
def test_other_sites_neither_write_nor_open_a_socket(served: Served, headers: Headers) -> None:
    for method in ("POST", "PATCH", "DELETE", "PUT"):
        status, body = served.ask(method, headers={"Host": OWN, **headers}, body=b"{}")
        assert (status, "another site" in body["message"]) == (403, True)
    assert served.handshake(host=OWN, headers=headers) == 403
    polling = served.ask(path="/socket.io/?transport=polling", headers={"Host": OWN, **headers})
    assert polling[0] == 403
    assert served.application.seen == []


@pytest.mark.parametrize("headers", FROM_HERE)
def test_own_pages_and_scripts_write_and_open_sockets(served: Served, headers: Headers) -> None:
    assert served.ask("POST", headers={"Host": OWN, **headers}, body=b"{}")[0] == 200
    assert served.handshake(host=OWN, headers=headers) == 101
    assert served.ask(path="/socket.io/", headers={"Host": OWN, **headers})[0] == 200


def test_link_from_another_site_opens_the_page_but_does_not_write(served: Served) -> None:
    headers = {"Host": OWN, "Sec-Fetch-Site": "cross-site"}
    assert served.ask("GET", "/", headers=headers)[0] == 200
    assert served.ask("POST", "/", headers=headers)[0] == 403


def test_default_port_is_the_same_named_or_not(served: Served) -> None:
    for host, origin in (
        ("localhost", "http://localhost:80"),
        ("localhost:443", "https://localhost"),
    ):
        assert served.ask("POST", headers={"Host": host, "Origin": origin}, body=b"")[0] == 200
    refused = {"Host": "localhost:443", "Origin": "http://localhost"}
    assert served.ask("POST", headers=refused, body=b"")[0] == 403


def test_two_origins_are_refused(served: Served) -> None:
    raw = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
        b"Origin: http://localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    assert served.exchange(raw)[0] == 403


def test_websocket_client_gets_its_message_or_a_403(served: Served) -> None:
    assert served.websocket(headers={"Origin": f"http://127.0.0.1:{served.port}"}) == "hello"
    with pytest.raises(InvalidStatus) as refused:
        served.websocket(headers={"Origin": "https://evil.example"})
    assert refused.value.response.status_code == 403


def test_body_of_exactly_the_limit_comes_in_and_one_byte_more_does_not(served: Served) -> None:
    assert served.ask("POST", body=bytes(MAX_BODY_BYTES))[1]["length"] == MAX_BODY_BYTES
    status, body = served.ask("POST", body=bytes(MAX_BODY_BYTES + 1))
    assert (status, "32 MB" in body["message"]) == (413, True)
    assert served.application.body_lengths == [MAX_BODY_BYTES]


def test_declared_oversize_is_refused_before_a_byte_of_it_is_sent(served: Served) -> None:
    for length in (str(MAX_BODY_BYTES + 1), "9" * 18):
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        status, answer = served.exchange(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert status == 413
        assert b"100 Continue" not in answer
        assert b"connection: close" in answer.lower()
    assert served.application.seen == []


def _chunked(connection: socket.socket, chunk: bytes, *, times: int) -> None:
    connection.sendall(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n"
    )
    for _ in range(times):
        connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    connection.sendall(b"0\r\n\r\n")


def test_body_without_a_length_is_counted_and_handed_over_with_one(served: Served) -> None:
    mebibyte = bytes(1024 * 1024)
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection:
        _chunked(connection, mebibyte, times=3)
        status, answer = read_answer(connection)
    length = 3 * 1024 * 1024
    assert status == 200
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1]) == {
        "length": length,
        "content-length": str(length),
    }
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection:
        _chunked(connection, mebibyte, times=34)
        status, answer = read_answer(connection)
    assert status == 413
    assert b"32 MB" in answer
    assert served.application.body_lengths == [length]


def test_client_that_leaves_in_mid_body_never_reaches_the_application(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection:
        connection.sendall(
            b"POST /gone HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n"
        )
    assert served.ask("POST", "/stayed", body=b"abc")[0] == 200
    assert served.application.seen == ["POST /stayed"]


def test_accounts_mode_answers_to_its_own_names_only() -> None:
    with serving(local_mode=False, allowed_hosts=(".example.com", "127.0.0.1")) as served:
        assert served.ask(headers={"Host": "agents.example.com"})[0] == 200
        assert served.ask(headers={"Host": "127.0.0.1"})[0] == 200
        status, body = served.ask(headers={"Host": "localhost"})
        assert status == 403
        assert "ALLOWED_HOSTS" in body["message"]


def test_lifespan_passes_through() -> None:
    with serving() as served:
        assert served.application.lifespans == 1


def test_refused_client_that_falls_silent_is_let_go() -> None:
    with (
        serving() as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection,
    ):
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\nabc"
        )
        # Reads to the end: it returns because the server closes.
        assert read_answer(connection)[0] == 413


def test_a_body_that_does_not_arrive_never_reaches_the_application() -> None:
    with (
        serving(body_seconds=0.3) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection,
    ):
        connection.sendall(
            b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc"
        )
        assert read_answer(connection)[0] == 408
        assert served.application.seen == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("sent", [b"", b"x"], ids=["no body", "a body"])
def test_an_answer_that_nobody_takes_is_given_up(method: str, sent: bytes) -> None:
    head = f"{method} {ENDLESS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n\r\n"
    with (
        serving(send_seconds=0.3) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection,
    ):
        connection.sendall(head.encode() + sent)
        until_true(lambda: served.application.given_up == 1)
