"""Answers that are made while they are sent. Each holds a thread, so their number is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request

from conversations.exceptions import DownloadsBusyError

#: Downloads at a time; every other request keeps the rest of the server's threads.
MAX_DOWNLOADS: Final = 8
#: Bytes that are sent at once: each send costs a way to the event loop's thread and back.
_PIECE: Final = 64 * 1024
#: What the outermost layer puts into the scope (project/client_watch.py).
_CLIENT_GONE: Final = "handrail.client_gone"
_places = threading.BoundedSemaphore(MAX_DOWNLOADS)


class _Download:
    """Gives pieces, and its place back when it is closed: also when it was never begun."""

    def __init__(self, pieces: Iterator[bytes], gone: threading.Event | None) -> None:
        self._pieces = pieces
        self._gone = gone
        self._is_open = True

    def __iter__(self) -> _Download:
        return self

    def __next__(self) -> bytes:
        if self._gone is not None and self._gone.is_set():
            # Nobody takes it any more.
            raise StopIteration
        gathered = bytearray(next(self._pieces))
        while len(gathered) < _PIECE and (piece := next(self._pieces, None)) is not None:
            gathered += piece
        return bytes(gathered)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            _places.release()


def download(
    request: HttpRequest | Request, make: Callable[[], Iterator[bytes]], *, content_type: str
) -> StreamingHttpResponse:
    """Answer with the pieces that `make` gives; raises DownloadsBusyError, or as `make` does."""
    if not _places.acquire(blocking=False):
        raise DownloadsBusyError
    try:
        pieces = _Download(make(), request.META.get("asgi.scope", {}).get(_CLIENT_GONE))
    except BaseException:
        _places.release()
        raise
    return StreamingHttpResponse(pieces, content_type=content_type)
