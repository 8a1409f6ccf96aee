"""Keeps threads for those who ask whether the server lives. It answers nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Each answers within seconds, whatever the database does.
PROBES: Final = frozenset({"/health", "/alive", "/ready", "/metrics"})
#: How many are answered at once.
THREADS: Final = 2


class Probes:
    """Where all of `app`'s threads wait for the database, `probes` answers all the same.

    Else whoever watches the server would take it for dead, and kill its loops for nothing.
    """

    def __init__(self, app: Application, *, probes: Application) -> None:
        self._app = app
        self._probes = probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by the address."""
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        await (self._probes if is_probe else self._app)(scope, receive, send)
