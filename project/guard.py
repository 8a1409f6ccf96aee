"""The ASGI layer that judges what comes in at all. It knows no app, no user, one path."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.http.request import validate_host

from project.client_watch import CLIENT_GONE, ClientWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
#: How long a body may take to arrive, in seconds.
BODY_SECONDS: Final = 60.0
#: How long a client may take nothing of its answer, in seconds.
SEND_SECONDS: Final = 60.0
#: How long a refused upload is still read and thrown away, in seconds.
DRAIN_SECONDS: Final = 5.0
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]", ".localhost")
_SOCKET_PATH: Final = "/socket.io"
_HOST: Final = re.compile(
    r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>\d{1,5}))?", re.ASCII
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request does not come in."""

    status: int
    message: str


class Guard:
    """Let in what is addressed to this server, comes from no other site, and is not too large.

    In local mode `allowed_hosts` does not count: only loopback names do. Without that, and without
    the look at `Origin`, any page in the user's browser could command the agent (DNS rebinding,
    cross-site requests).
    """

    def __init__(
        self,
        app: Application,
        *,
        allowed_hosts: Iterable[str],
        local_mode: bool,
        body_seconds: float = BODY_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._app = app
        self._allowed_hosts = LOCAL_HOSTS if local_mode else tuple(allowed_hosts)
        self._local_mode = local_mode
        self._body_seconds = body_seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._refusal(scope, checked=True) is None:
            await self._app(scope, receive, send)
        else:
            # Closed before it was accepted: the server answers 403 to the handshake.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        checked = scope["method"] not in SAFE_METHODS or _is_socket_path(scope["path"])
        refusal = self._refusal(scope, checked=checked) or _refusal_of_length(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif _has_no_body(scope):
            await self._watched(scope, receive, send, body=b"")
        else:
            await self._with_body(scope, receive, send)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, *, body: bytes) -> None:
        async with ClientWatch(receive, send, seconds=self._send_seconds, body=body) as watch:
            watched = {**scope, CLIENT_GONE: watch.gone}
            await self._app(watched, watch.receive, watch.send)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a body before the application starts, then hand it over whole.

        So nothing acts on half of a body that turns out too large; no client that sends slowly
        holds one of the application's threads; and WSGI applications, to which no length means no
        body, get theirs.
        """
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _read(receive)
        except TimeoutError:
            message = f"The request's body did not arrive in {self._body_seconds:g} seconds."
            await _refuse(Refusal(408, message), scope, receive, send)
            return
        if body is None:
            return  # the client has gone
        if len(body) > MAX_BODY_BYTES:
            await _refuse(_too_large(), scope, receive, send)
            return
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() not in (b"transfer-encoding", b"content-length")
        ]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._watched({**scope, "headers": headers}, receive, send, body=body)

    def _refusal(self, scope: Scope, *, checked: bool) -> Refusal | None:
        """Judge where a request is addressed to and, when `checked`, which site has sent it."""
        hosts = _values(scope, b"host")
        match = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if match is None:
            return Refusal(
                403, "The request must name its host exactly once, as name or name:port."
            )
        name = match["name"].removesuffix(".")
        if not validate_host(name, self._allowed_hosts):
            hint = (
                "Handrail runs in local mode and answers to localhost and 127.0.0.1 only."
                if self._local_mode
                else "Add it to ALLOWED_HOSTS if it is yours."
            )
            return Refusal(403, f"The host {name!r} is not one of this server. {hint}")
        if checked and not _is_same_site(scope, host=match):
            return Refusal(
                403, "The request comes from another site. Open Handrail's own page and try there."
            )
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [
        value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == name
    ]


def _is_socket_path(path: str) -> bool:
    # Socket.IO's polling transport reads with GET what a socket would be told.
    return path == _SOCKET_PATH or path.startswith(f"{_SOCKET_PATH}/")


def _is_same_site(scope: Scope, *, host: re.Match[str]) -> bool:
    """Say whether this server's own page has sent a request, or no browser at all."""
    sites = _values(scope, b"sec-fetch-site")
    if sites:
        return all(site in ("same-origin", "none") for site in sites)
    origins = _values(scope, b"origin")
    return all(_is_own_origin(origin.lower(), host) for origin in origins) and len(origins) <= 1


def _is_own_origin(origin: str, host: re.Match[str]) -> bool:
    scheme, separator, address = origin.partition("://")
    match = _HOST.fullmatch(address)
    # Which of the two schemes is not known here: a proxy in front may have ended TLS.
    if not separator or scheme not in _DEFAULT_PORTS or match is None:
        return False
    port = _DEFAULT_PORTS[scheme]
    return (match["name"], match["port"] or port) == (host["name"], host["port"] or port)


async def _read(receive: Receive) -> bytes | None:
    """Read a body, at most a message more than is allowed; None when the client has gone."""
    body = bytearray()
    more = True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _has_no_body(scope: Scope) -> bool:
    if _values(scope, b"transfer-encoding"):
        return False
    lengths = _values(scope, b"content-length")
    return all(length.lstrip("0") == "" for length in lengths) and (
        bool(lengths) or scope["method"] in SAFE_METHODS
    )


def _refusal_of_length(scope: Scope) -> Refusal | None:
    for value in _values(scope, b"content-length"):
        # Length first: Python refuses to convert a number of thousands of digits.
        if not value.isascii() or not value.isdigit():
            return Refusal(400, "The request's Content-Length is not a number.")
        if len(value.lstrip("0")) > len(str(MAX_BODY_BYTES)) or int(value) > MAX_BODY_BYTES:
            return _too_large()
    return None


def _too_large() -> Refusal:
    limit = MAX_BODY_BYTES // (1024 * 1024)
    return Refusal(413, f"The request's body is larger than {limit} MB. Send less at once.")


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer and end the connection."""
    payload = json.dumps({"message": refusal.message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(payload)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        # The rest of the body is still on its way: the connection is of no further use.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": payload, "more_body": True})
    # One that asked first (Expect) has the answer before it sends anything.
    if not _values(scope, b"expect"):
        await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    """Throw away what is still coming, for a while.

    Closed at once, the connection would be reset, and many a client would never see the answer.
    """
    left = MAX_BODY_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        # The answer is out: a client that goes on sending has had its time.
        return
