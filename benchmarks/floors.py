"""The servers under the product: bare ASGI answers, and bare DRF views served as it is served."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

#: As the product's.
_BACKLOG = 2048
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BareAnswers:
    """Answers each address with the bytes that were PUT there."""

    def __init__(self) -> None:
        self._stored: dict[str, bytes] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Read the body, answer."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["method"] == "PUT":
            self._stored[scope["path"]] = body
        answer = self._stored.get(scope["path"], b"OK")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def _bare_views() -> Any:
    # Only here: they set Django up, and the bare answers know no Django.
    from a2wsgi import WSGIMiddleware
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    return WSGIMiddleware(get_wsgi_application(), workers=settings.WEB_THREADS)


def main() -> None:
    """Serve `asgi` or `drf` on a port of loopback, with the product's settings of uvicorn."""
    kind, port = sys.argv[1], int(sys.argv[2])
    application: Any = BareAnswers() if kind == "asgi" else _bare_views()
    # With its protocol named: only then asyncio sends answers at once (TCP_NODELAY); without, an
    # answer's body may wait 40 ms for the client's acknowledgement of its head.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        config = uvicorn.Config(
            application, lifespan="off", log_config=None, access_log=False, proxy_headers=False
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
