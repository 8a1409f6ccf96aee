"""`/metrics` of a worker, on a port of its own and a thread of its own. For scrapers."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import structlog
from django.db import connections

from project.metrics import NOBODY, NOBODY_HEADERS, is_scraper, metrics_text

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

#: Scrapes at once; further ones are closed.
SCRAPES: Final = 4
#: How long one may take from its connection's beginning, in seconds.
SCRAPE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of one connection."""

    def do_GET(self) -> None:
        """Give the metrics, to whoever has the token."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "Here is /metrics only.\n")
        elif not is_scraper(self.headers.get("Authorization", "")):
            self._answer(HTTPStatus.UNAUTHORIZED, NOBODY, **NOBODY_HEADERS)
        else:
            try:
                text, content_type = metrics_text()
            finally:
                connections.close_all()
            self._answer(HTTPStatus.OK, text, **{"Content-Type": content_type})

    do_HEAD = do_GET  # noqa: N815  # the library's name

    def _answer(self, status: HTTPStatus, text: bytes | str, **headers: str) -> None:
        body = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        plain = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
        for name, value in {**plain, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name no library."""
        return "handrail"

    def log_message(self, *_: Any) -> None:
        """Write no line a scrape."""


class _Server(ThreadingHTTPServer):
    """A few scrapes at once, each with an end."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._free = threading.BoundedSemaphore(SCRAPES)

    def verify_request(self, *_: Any) -> bool:
        """Take what there is room for."""
        return self._free.acquire(blocking=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system has no thread more: it may have one for the next.
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, which is cut when its time is over."""
        overdue = threading.Timer(SCRAPE_SECONDS, partial(_cut, request))
        overdue.daemon = True
        try:
            overdue.start()
            super().process_request_thread(request, client_address)
        finally:
            overdue.cancel()
            self._free.release()

    def handle_error(self, *_: Any) -> None:
        """Say nothing of connections that were cut, or whose scraper has gone."""
        if not isinstance(sys.exception(), OSError):
            log.exception("scrape_failed")  # noqa: LOG004  # called from one


def _cut(connection: socket.socket) -> None:
    # It may be closed already.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def metrics_served(listener: socket.socket | None) -> Iterator[None]:
    """Serve them on this socket until the end of the block; without a socket do nothing."""
    if listener is None:
        yield
        return
    server = _Server(listener)
    thread = threading.Thread(
        target=server.serve_forever, args=(_LOOK_SECONDS,), name="metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
