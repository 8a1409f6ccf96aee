"""A real server around a guard and an application that echoes. It holds no test."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from websockets.sync.client import connect

from project.client_watch import CLIENT_GONE
from project.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from project.guard import Receive, Send

DEADLINE = 20.0
#: Where the application answers for as long as somebody takes it, in pieces of this size.
ENDLESS = "/endless"
#: Where it answers, by socket too, once the test releases it.
HELD = "/held"
PIECE = bytes(64 * 1024)
Headers = dict[str, str]


@dataclass
class EchoApplication:
    """An application that says what came in, and remembers it."""

    seen: list[str] = field(default_factory=list)
    body_lengths: list[int] = field(default_factory=list)
    lifespans: int = 0
    #: Answers without an end that were ended because nobody took them.
    given_up: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.lifespans += 1
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        elif scope["type"] == "websocket":
            self.seen.append(f"websocket {scope['path']}")
            await receive()
            await send({"type": "websocket.accept"})
            await self._hold(scope)
            await send({"type": "websocket.send", "text": "hello"})
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.seen.append(f"{scope['method']} {scope['path']}")
        await self._hold(scope)
        length, more = 0, True
        while more:
            message = await receive()
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        self.body_lengths.append(length)
        if scope["path"] == ENDLESS:
            await self._endless(scope, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        answer = {"length": length, "content-length": headers.get("content-length")}
        payload = json.dumps(answer).encode()
        headers_out = [(b"content-length", str(len(payload)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers_out})
        await send({"type": "http.response.body", "body": payload})

    async def _hold(self, scope: MutableMapping[str, Any]) -> None:
        if scope["path"] == HELD:
            await asyncio.to_thread(self.released.wait, DEADLINE)

    async def _endless(self, scope: MutableMapping[str, Any], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not scope[CLIENT_GONE].is_set():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        self.given_up += 1


@dataclass(frozen=True)
class Served:
    application: EchoApplication
    port: int

    def ask(
        self,
        method: str = "GET",
        path: str = "/api/settings",
        *,
        headers: Headers | None = None,
        body: bytes | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Ask as http.client does; `Host` is this server's unless `headers` names another."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def exchange(self, raw: bytes) -> tuple[int, bytes]:
        """Send these bytes and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall(raw)
            return read_answer(connection)

    def handshake(self, *, host: str, headers: Headers | None = None) -> int:
        """Ask for a websocket with exactly these headers; give the status and leave."""
        lines = [
            "GET /socket.io/ HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            with connection.makefile("rb") as answer:
                return int(answer.readline().split(b" ")[1])

    def websocket(self, path: str = "/socket.io/", *, headers: Headers | None = None) -> str:
        url = f"ws://127.0.0.1:{self.port}{path}"
        with connect(
            url, additional_headers=headers or {}, open_timeout=DEADLINE, proxy=None
        ) as client:
            return str(client.recv(timeout=DEADLINE))


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Read to the end; a reset after the answer is an end too."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return int(received.split(b" ", 2)[1]), received


@contextlib.contextmanager
def serving(
    *,
    http_parser: type[asyncio.Protocol] | str = "httptools",
    local_mode: bool = True,
    allowed_hosts: tuple[str, ...] = (),
    body_seconds: float = 30,
    send_seconds: float = 30,
) -> Iterator[Served]:
    application = EchoApplication()
    guard = Guard(
        application,
        allowed_hosts=allowed_hosts,
        local_mode=local_mode,
        body_seconds=body_seconds,
        send_seconds=send_seconds,
    )
    config = uvicorn.Config(
        guard,
        http=http_parser,
        ws="websockets-sansio",
        log_config=None,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + DEADLINE
        while not server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        try:
            yield Served(application, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(DEADLINE)
            assert not thread.is_alive()
