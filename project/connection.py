"""One connection of the server: uvicorn's, with an end to waiting for a request's head.

It knows no app and no path. What comes after a head is project/guard.py's.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

#: How much a request's first line and headers may be, give or take one read of the socket.
MAX_HEAD_BYTES: Final = 64 * 1024


class Connection(HttpToolsProtocol):
    """A connection that has to send whole heads in time.

    Uvicorn ends a connection that says nothing after an answer, but none that never asked, and a
    byte makes it wait without an end. Its parser keeps a head of any size.
    """

    #: How long a head may take from the connection's beginning, or from the answer before it.
    head_seconds: ClassVar[float] = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        #: Bytes of reads by which nothing was given on: of a head, or of what may stand around the
        #: pieces of a body.
        self._kept_bytes = 0
        self._was_given = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while what the parser keeps is not larger than a head may be."""
        self._was_given = False
        super().data_received(data)
        if not self._was_given:
            self._kept_bytes += len(data)
        if self._kept_bytes > MAX_HEAD_BYTES:
            limit = MAX_HEAD_BYTES // 1024
            message = f"The request's headers are larger than {limit} KB."
            self._end(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, message)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._in_head, self._kept_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a head, which may ask for a socket: from here others wait."""
        self._in_head = False
        self._given()
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, which the guard bounds."""
        self._given()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._given()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head, unless its request is here already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait()

    def _given(self) -> None:
        self._kept_bytes, self._was_given = 0, True

    def _wait(self) -> None:
        """Wait for a head: there is a timer as long as no request is being answered."""
        self._wait_no_more()
        self._timer = self.loop.call_later(self.head_seconds, self._too_late)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        message = f"The request's headers did not arrive in {self.head_seconds:g} seconds."
        self._end(HTTPStatus.REQUEST_TIMEOUT, message)

    def _end(self, status: HTTPStatus, message: str) -> None:
        """Close; say why where something was asked, and no other answer is on its way."""
        if self.transport.is_closing():
            return
        if self._in_head and self._timer is not None:
            payload = json.dumps({"message": message})
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(payload)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(f"{head}{payload}".encode())
        self.transport.close()
