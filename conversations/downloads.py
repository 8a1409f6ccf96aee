"""Answers that are made while they are sent. Each holds a thread, so their number is bounded.

For how long, project/client_watch.py says.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request

from conversations.exceptions import DownloadsBusyError

#: Downloads at a time; every other request keeps the rest of the server's threads.
MAX_DOWNLOADS: Final = 8
#: Of these for one user, in accounts mode: the rest is for the others.
MAX_DOWNLOADS_OF_USER: Final = 2
#: Bytes that are sent at once: each send costs a way to the event loop's thread and back.
_PIECE: Final = 64 * 1024
#: What the outermost layer puts into the scope (project/client_watch.py).
_CLIENT_GONE: Final = "handrail.client_gone"
_OWN_BUSY: Final = (
    f"{MAX_DOWNLOADS_OF_USER} downloads of yours are under way. Wait until one of them has ended."
)


class _Places:
    """Who downloads now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[object] = Counter()

    def take(self, user_id: object) -> None:
        """Take a place for a user. Raises DownloadsBusyError."""
        with self._lock:
            if settings.AUTH_MODE != "local" and self._taken[user_id] >= MAX_DOWNLOADS_OF_USER:
                raise DownloadsBusyError(_OWN_BUSY)
            if self._taken.total() >= MAX_DOWNLOADS:
                raise DownloadsBusyError
            self._taken[user_id] += 1

    def give_back(self, user_id: object) -> None:
        """Free one that was taken for this user."""
        with self._lock:
            self._taken[user_id] -= 1
            # Users who download nothing are not kept.
            self._taken = +self._taken


_places = _Places()


class _Download:
    """Gives pieces, and its place back at its end, or when it is closed without having begun."""

    def __init__(
        self, pieces: Iterator[bytes], gone: threading.Event | None, user_id: object
    ) -> None:
        self._pieces = pieces
        self._gone = gone
        self._user_id = user_id
        self._is_open = True

    def __iter__(self) -> _Download:
        return self

    def __next__(self) -> bytes:
        # After `gone` nobody takes it any more.
        is_gone = self._gone is not None and self._gone.is_set()
        piece = None if is_gone else next(self._pieces, None)
        if piece is None:
            # Before the client hears of the end: it may ask for the next one at once.
            self.close()
            raise StopIteration
        gathered = bytearray(piece)
        while len(gathered) < _PIECE and (piece := next(self._pieces, None)) is not None:
            gathered += piece
        return bytes(gathered)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            _places.give_back(self._user_id)


def download(
    request: HttpRequest | Request, make: Callable[[], Iterator[bytes]], *, content_type: str
) -> StreamingHttpResponse:
    """Answer with the pieces that `make` gives; raises DownloadsBusyError, or as `make` does."""
    user_id = request.user.pk
    _places.take(user_id)
    try:
        pieces = _Download(make(), request.META.get("asgi.scope", {}).get(_CLIENT_GONE), user_id)
    except BaseException:
        _places.give_back(user_id)
        raise
    return StreamingHttpResponse(pieces, content_type=content_type)
