"""How much one LLM call may be answered: counted where bytes arrive. It knows no provider.

A provider's library reads an answer whole and unpacks it before anybody sees how long it is, and a
user names the address that it comes from. So each HTTP transport of the process is asked to count
for whoever has said that a call is his.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import httpx

#: Bytes, of all that one call is answered. The longest answers that models give are under 1 MB.
LONGEST_ANSWER: Final = 8 * 1024 * 1024
_TOO_LONG: Final = f"it is longer than {LONGEST_ANSWER // 1024 // 1024} MB"
_PACKED: Final = "it is compressed, though it was asked not to be, so its length is not known"


class AnswerRefusedError(Exception):
    """An answer that is not read to its end."""


class AnswerBound:
    """What one call may still be answered."""

    def __init__(self) -> None:
        self._left = LONGEST_ANSWER
        #: Why an answer was refused, "" where none was.
        self.refusal = ""

    async def counted(self, stream: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
        """Give a stream's pieces on. Raises AnswerRefusedError where they are too many."""
        async for piece in stream:
            self._left -= len(piece)
            if self._left < 0:
                self.refuse(_TOO_LONG)
            yield piece

    def refuse(self, refusal: str) -> None:
        """Raise AnswerRefusedError; whoever wraps it, the refusal is known."""
        self.refusal = refusal
        raise AnswerRefusedError(refusal)


@contextmanager
def bounded_answer() -> Iterator[AnswerBound]:
    """Count what is received until the block ends, in the context of whoever opens it."""
    _stand()
    bound = AnswerBound()
    token = _BOUND.set(bound)
    try:
        yield bound
    finally:
        _BOUND.reset(token)


class _CountedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, bound: AnswerBound) -> None:
        self._stream = stream
        self._bound = bound

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._bound.counted(self._stream)

    async def aclose(self) -> None:
        await self._stream.aclose()


_BOUND: Final[ContextVar[AnswerBound | None]] = ContextVar("answer_bound", default=None)
_standing = threading.Event()
_building = threading.Lock()
_send: Final = httpx.AsyncHTTPTransport.handle_async_request


def _stand() -> None:
    """Put the counter into httpx once a process: libraries make its clients in many places."""
    with _building:
        if not _standing.is_set():
            httpx.AsyncHTTPTransport.handle_async_request = _handle  # type: ignore[assignment,method-assign]
            _standing.set()


async def _handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    bound = _BOUND.get()
    if bound is None:
        return await _send(transport, request)
    # Unpacked, 300 kB can be 300 MB, in one piece.
    request.headers["Accept-Encoding"] = "identity"
    response = await _send(transport, request)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        await response.aclose()
        bound.refuse(_PACKED)
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _CountedStream(response.stream, bound)
    return response
