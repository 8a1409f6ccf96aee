"""Says where the time of one request goes, by cProfile in this process, without a server around."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from benchmarks.databases import ROOT
from benchmarks.load import Request
from project.wsgi import application

#: Costs that a profile names.
_NAMED = 3


def ask_in_process(request: Request) -> bytes:
    """Hand a request to Django as the server does. Raises RuntimeError unless the answer is 200."""
    path, _, query = request.path.partition("?")
    body = request.body or b""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "127.0.0.1",
        "wsgi.input": BytesIO(body),
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, *_: Any) -> Callable[..., Any]:
        statuses.append(status)
        return bytes

    response: Any = application(environ, start_response)
    try:
        answer = b"".join(response)
    finally:
        response.close()
    if statuses != ["200 OK"]:
        msg = f"{request.method} {request.path}: {statuses} {answer[:500]!r}"
        raise RuntimeError(msg)
    return answer


def largest_costs(request: Request, number: int) -> list[str]:
    """Give the packages that most of the time of `number` requests is spent in, a line each."""
    ask_in_process(request)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(number):
        ask_in_process(request)
    profile.disable()
    # It ships no types for what it has added up.
    stats: Any = pstats.Stats(profile)
    spent: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.stats.items():
        if function[1]:
            spent[_package(function[0])] += own
        else:
            # What is built in costs whoever calls it.
            for caller, (_, _, share, _) in callers.items():
                spent[_package(caller[0])] += share
    return [
        f"{seconds / stats.total_tt:.0%} of the time in `{package}`"
        for package, seconds in spent.most_common(_NAMED)
    ]


def _package(file: str) -> str:
    """Name the package, of Django and of ours the room in it; no path of the machine."""
    _, installed, inside = file.rpartition("site-packages/")
    path = Path(inside)
    if not installed:
        if not Path(file).is_relative_to(ROOT):
            return "Python's own"
        path = Path(file).relative_to(ROOT)
    deep = not installed or path.parts[0] == "django"
    return "/".join(path.parts[: 2 if deep else 1])
