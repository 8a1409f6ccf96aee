"""How much one LLM call may be answered: judged where bytes arrive. It knows no provider.

A provider's library reads an answer whole, unpacks it and makes objects of all that is in it, on
the event loop, before anybody sees how much that is; and a user names the address that it comes
from. So each HTTP transport of the process looks first, for whoever has said that a call is his.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import httpx

#: Bytes, of all that one call is answered. The longest answers that models give are under 1 MB.
LONGEST_ANSWER: Final = 8 * 1024 * 1024
#: Objects and lists in one answer: litellm takes half a millisecond to make what it wants of each.
#: An answer with fifty tool calls has about a hundred.
MOST_PARTS: Final = 1_000
#: Bytes. litellm searches what an error says for secrets: ten seconds a megabyte.
_LONGEST_ERROR: Final = 32 * 1024
#: Those within texts included: a program in an answer has some thousands.
_MOST_BRACKETS: Final = 200_000
_TOO_MANY: Final = f"it has more than {MOST_PARTS} parts"
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

    async def judged(self, stream: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
        """Give a stream's pieces on, when all are there. Raises AnswerRefusedError."""
        pieces = []
        async for piece in stream:
            self._left -= len(piece)
            if self._left < 0:
                self.refuse(_TOO_LONG)
            pieces.append(piece)
        whole = b"".join(pieces)
        # There are no more parts than brackets, so most answers need no second look.
        brackets = whole.count(b"{") + whole.count(b"[")
        if brackets > _MOST_BRACKETS or (brackets > MOST_PARTS and _has_too_many_parts(whole)):
            self.refuse(_TOO_MANY)
        yield whole

    async def begun(self, stream: httpx.AsyncByteStream) -> AsyncIterator[bytes]:
        """Give the beginning of what an error says; the rest is nothing to anybody."""
        left = _LONGEST_ERROR
        async for piece in stream:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    def refuse(self, refusal: str) -> None:
        """Raise AnswerRefusedError; whoever wraps it, the refusal is known."""
        self.refusal = refusal
        raise AnswerRefusedError(refusal)


def _has_too_many_parts(answer: bytes) -> bool:
    """Whether an answer has more parts than allowed; brackets within texts are none."""
    try:
        level = [json.loads(answer)]
    except (ValueError, RecursionError):
        return True  # no provider's answer, and who knows what a library makes of it
    parts = 0
    while level and parts <= MOST_PARTS:
        parts += len(level)
        below: list[Any] = []
        for part in level:
            below += part.values() if isinstance(part, dict) else part
        level = [part for part in below if isinstance(part, dict | list)]
    return parts > MOST_PARTS


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


class _JudgedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, judge: _Judge) -> None:
        self._stream = stream
        self._judge = judge

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._judge(self._stream)

    async def aclose(self) -> None:
        await self._stream.aclose()


_Judge = Callable[[httpx.AsyncByteStream], AsyncIterator[bytes]]
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
        judge = bound.begun if response.is_error else bound.judged
        response.stream = _JudgedStream(response.stream, judge)
    return response
