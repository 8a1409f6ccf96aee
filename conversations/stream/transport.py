"""A client's websocket, under Socket.IO: what of it comes in. It knows no user."""

from __future__ import annotations

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

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_ended = False

    def end(self) -> None:
        """Take nothing more."""
        self._has_ended = True

    async def receive(self) -> Message:
        """Give what comes next; from the end on, that the client has gone."""
        message = {**_GONE} if self._has_ended else await self._receive()
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
    """Stands between the server and Socket.IO, for every websocket."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; what is no websocket passes."""
        if scope["type"] == "websocket":
            transport = Transport(receive)
            # Socket.IO handles a message in the task that has received it.
            _current.set(transport)
            receive = transport.receive
        await self._app(scope, receive, send)
