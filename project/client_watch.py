"""Notices when a client has gone, or takes nothing any more. It knows no app and no path."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

#: What a client has to take of its answer in a second, on the whole: bytes.
LEAST_RATE: Final = 64 * 1024
#: Where an answer that is made while it is sent finds the event, in the ASGI scope.
CLIENT_GONE: Final = "handrail.client_gone"


class ClientWatch:
    """Stands between a server and an application, for one request whose `body` was read already.

    Without it a download to nobody would be made to its end, and one to a client that stands still,
    or reads a byte now and then, would hold its thread for as long as that client likes. Only the
    time spent waiting for the client counts: an answer may be made slowly.
    """

    def __init__(self, receive: Receive, send: Send, *, seconds: float, body: bytes = b"") -> None:
        self.gone = threading.Event()
        self._receive, self._send, self._seconds = receive, send, seconds
        self._body: bytes | None = body
        self._waited, self._taken = 0.0, 0
        self._ended = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._end()

    def _end(self) -> None:
        self.gone.set()
        self._ended.set()

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self._end()

    async def receive(self) -> Message:
        """Give the body, and from then on wait for the client's end."""
        if self._body is None:
            await self._ended.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Send, within the time; after that nothing more, and the server cuts the connection."""
        if self.gone.is_set():
            return
        clock = asyncio.get_running_loop().time
        begun = clock()
        left = self._seconds + self._taken / LEAST_RATE - self._waited
        try:
            async with asyncio.timeout(min(self._seconds, left)):
                await self._send(message)
        except TimeoutError:
            self._end()
        self._waited += clock() - begun
        self._taken += len(message.get("body", b""))
