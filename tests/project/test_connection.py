"""Connections that send no whole request, on a real server, by raw sockets."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from project.connection import MAX_HEAD_BYTES, Connection
from tests.project.guarded_server import DEADLINE, HELD, Served, read_answer, serving
from tests.waiting import until_true

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

HEAD = b"GET /kept HTTP/1.1\r\nHost: localhost\r\n"


class HastyConnection(Connection):
    head_seconds = 0.5


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(http_parser=HastyConnection) as running:
        yield running


@contextlib.contextmanager
def _opened(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=DEADLINE) as connection:
        yield connection


def _dribble(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece now and then until the server says something, or ends; give what it says."""
    end = time.monotonic() + DEADLINE
    while not select.select([connection], [], [], 0.02)[0]:
        assert time.monotonic() < end, "the server lets a connection send for ever"
        connection.sendall(piece)
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(65536)
    return b""


def _ask(connection: socket.socket, raw: bytes) -> bytes:
    """Ask on a connection that is kept; give the answer."""
    connection.sendall(raw)
    answer = connection.recv(65536)
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    return answer


def _outlive_the_bound(served: Served) -> None:
    """Return when a connection that was opened now has had its time."""
    with _opened(served) as silent:
        assert silent.recv(1) == b""


def test_a_connection_that_says_nothing_is_closed_without_a_word(served: Served) -> None:
    with _opened(served) as connection:
        assert connection.recv(1) == b""


@pytest.mark.parametrize("begun", [b"G", HEAD, HEAD + b"X-Slow: "], ids=["G", "lines", "a value"])
def test_half_a_head_is_answered_408(served: Served, begun: bytes) -> None:
    with _opened(served) as connection:
        connection.sendall(begun)
        status, answer = read_answer(connection)
    assert status == 408
    assert b"connection: close" in answer.lower()
    assert b'{"message": ' in answer
    assert served.application.seen == []


def test_a_head_that_comes_byte_by_byte_gets_no_more_time(served: Served) -> None:
    with _opened(served) as connection:
        connection.sendall(HEAD + b"X-Slow: ")
        assert _dribble(connection, b"x").startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("begun", "piece", "answer"),
    [(b"\r\n", b"\r\n", b""), (HEAD + b"X-Slow: ", b"x", b"HTTP/1.1 408 ")],
    ids=["empty lines", "half a head"],
)
def test_a_kept_connection_gets_no_more_time_either(
    served: Served, begun: bytes, piece: bytes, answer: bytes
) -> None:
    with _opened(served) as connection:
        for _ in range(2):
            assert _ask(connection, HEAD + b"\r\n").startswith(b"HTTP/1.1 200 ")
        connection.sendall(begun)
        assert _dribble(connection, piece)[:13] == answer


def test_half_a_head_behind_a_request_is_bound_from_its_answer(served: Served) -> None:
    with _opened(served) as connection:
        assert _ask(connection, HEAD + b"\r\n" + HEAD).startswith(b"HTTP/1.1 200 ")
        assert read_answer(connection)[0] == 408


def test_slow_answers_bodies_and_sockets_are_not_bound(served: Served) -> None:
    address = f"ws://127.0.0.1:{served.port}{HELD}"
    with (
        _opened(served) as asking,
        _opened(served) as telling,
        connect(address, open_timeout=DEADLINE, proxy=None) as listening,
    ):
        asking.sendall(HEAD.replace(b"/kept", HELD.encode()) + b"\r\n")
        telling.sendall(b"POST /told HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
        until_true(lambda: f"GET {HELD}" in served.application.seen)
        _outlive_the_bound(served)
        served.application.released.set()
        assert _ask(telling, b"def").startswith(b"HTTP/1.1 200 ")
        assert _ask(asking, b"").startswith(b"HTTP/1.1 200 ")
        assert listening.recv(timeout=DEADLINE) == "hello"


def test_a_head_that_is_too_large_is_refused() -> None:
    with serving(http_parser=Connection) as served:
        with _opened(served) as connection:
            connection.sendall((HEAD + b"X-Long: ").ljust(MAX_HEAD_BYTES + 1, b"x"))
            status, answer = read_answer(connection)
        assert status == 431
        assert b"64 KB" in answer
        with _opened(served) as connection:
            half = (HEAD + b"X-Long: ").ljust(MAX_HEAD_BYTES // 2, b"x")
            for _ in range(3):
                assert _ask(connection, half + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("begun", "piece"),
    [(b"0\r\nX-Long: ", b"x" * 4096), (b"0\r\n", b"X-Short: x\r\n" * 400), (b"1;", b"x" * 4096)],
    ids=["a trailer", "trailers", "a chunk's extension"],
)
def test_what_follows_a_chunked_body_has_an_end_too(begun: bytes, piece: bytes) -> None:
    head = b"POST /told HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(http_parser=Connection) as served, _opened(served) as connection:
        connection.sendall(head + begun)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(1000):
                connection.sendall(piece)
            pytest.fail("four megabytes were taken")


def test_a_large_body_in_pieces_is_taken() -> None:
    head = b"POST /told HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(http_parser=Connection) as served, _opened(served) as connection:
        body = b"".join([b"4000\r\n", b"x" * 0x4000, b"\r\n"]) * 20 + b"0\r\n\r\n"
        assert _ask(connection, head + body).startswith(b"HTTP/1.1 200 ")


def test_a_head_without_an_end_behind_a_request_ends_both() -> None:
    with serving(http_parser=Connection) as served, _opened(served) as connection:
        connection.sendall(HEAD.replace(b"/kept", HELD.encode()) + b"\r\n" + HEAD + b"X-Long: ")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            assert _dribble(connection, b"x" * 4096) == b""
        served.application.released.set()


def test_the_server_that_is_served_has_these_bounds(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        connection.sendall((HEAD + b"X-Long: ").ljust(MAX_HEAD_BYTES + 1, b"x"))
        assert read_answer(connection)[0] == 431
