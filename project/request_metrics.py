"""Counts HTTP requests by route, and how long each waits for its answer. It shows no path."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from conversations.telemetry import telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from django.http import HttpRequest, HttpResponse

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Where Django's side writes which route it was, in the ASGI scope.
_ROUTE: Final = "handrail.route"
#: Answers that Django has not given: the guard's, and Socket.IO's handshakes.
OUTSIDE: Final = "outside"
#: Answers of Django to no route: unknown addresses, static files.
NO_ROUTE: Final = "none"


class RequestMetrics:
    """The layer around the guard: refusals are counted, and what waits for a thread is timed."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; time an HTTP request until its answer begins to leave."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        route = [OUTSIDE]

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                telemetry.request_answered(
                    method=scope["method"],
                    route=route[0],
                    status=message["status"],
                    seconds=time.perf_counter() - began,
                )
            await send(message)

        await self._app({**scope, _ROUTE: route}, receive, timed)


def route_note(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Tell the layer outside which route has answered; a middleware of Django's."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        noted = request.META.get("asgi.scope", {}).get(_ROUTE)
        if noted is not None:
            noted[0] = _route(request)
        return response

    return middleware


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        return NO_ROUTE
    # The web client's pages are told by an expression that nobody could read in a graph.
    return match.view_name if match.route.startswith("^") else match.route
