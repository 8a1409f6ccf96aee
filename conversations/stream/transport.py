"""A client's websocket, under Socket.IO: what of it comes in, and how long. It knows no user."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Engine.IO's goodbye and pong; Socket.IO's connect, disconnect and event. Clients need no more:
#: nobody here asks for an acknowledgement, and binary packets wait for attachments without a bound.
_WHOLE: Final = ("1", "3")
_BEGINNINGS: Final = ("40", "41", "42")
_GONE: Final[Message] = {"type": "websocket.disconnect", "code": 1008}
_current: ContextVar[Transport] = ContextVar("transport")


class Transport:
    """The way in. Once it has ended, Socket.IO takes its client for gone, and closes."""

    def __init__(self, receive: Receive, *, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._ends_at: float | None = self._clock() + seconds
        self._waiting: asyncio.Timeout | None = None

    def keep(self) -> None:
        """Stay open from now on."""
        self._set(None)

    def end_soon(self) -> None:
        """Give the client the time to leave by itself, where it has not had it yet."""
        if self._ends_at is None:
            self._set(self._clock() + self._seconds)

    def end(self) -> None:
        """Take nothing more."""
        self._set(self._clock())

    def _set(self, ends_at: float | None) -> None:
        self._ends_at = ends_at
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(ends_at)

    async def receive(self) -> Message:
        """Give what comes next; from the end on, that the client has gone."""
        if self._ends_at is not None and self._clock() >= self._ends_at:
            return {**_GONE}
        try:
            async with asyncio.timeout_at(self._ends_at) as self._waiting:
                message = await self._receive()
        except TimeoutError:
            return {**_GONE}
        finally:
            self._waiting = None
        if message["type"] == "websocket.receive" and not _is_taken(message.get("text")):
            self.end()
            return {**_GONE}
        return message


def _is_taken(text: str | None) -> bool:
    return text is not None and (text in _WHOLE or text.startswith(_BEGINNINGS))


def current_transport() -> Transport:
    """Give the one whose message is being handled."""
    return _current.get()


class Transports:
    """Stands between the server and Socket.IO; a websocket has `seconds` to log in, or to leave."""

    def __init__(self, app: Application, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; what is no websocket passes."""
        if scope["type"] == "websocket":
            transport = Transport(receive, seconds=self._seconds)
            # Socket.IO handles a message in the task that has received it.
            _current.set(transport)
            receive = transport.receive
        await self._app(scope, receive, send)
