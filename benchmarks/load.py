"""Asks over keep-alive connections and takes the time. It does not know what it asks."""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

#: Seconds that one answer may take.
_ANSWER_SECONDS = 30.0
#: Work of a burst even where its time is over: fewer have no median.
_LEAST = 3
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; what is asked several times is asked the same."""

    method: str
    path: str
    body: bytes | None = None


class UnexpectedAnswerError(Exception):
    """A server answered something else than 200."""


def answer_of(connection: http.client.HTTPConnection, request: Request) -> bytes:
    """Ask once. Raises UnexpectedAnswerError."""
    connection.request(request.method, request.path, request.body, _JSON)
    response = connection.getresponse()
    body = response.read()
    if response.status != http.HTTPStatus.OK:
        msg = f"{request.method} {request.path}: {response.status} {body[:500]!r}"
        raise UnexpectedAnswerError(msg)
    return body


def connect(port: int) -> http.client.HTTPConnection:
    """Give a connection to a server on loopback."""
    return http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)


def fetch(port: int, request: Request) -> bytes:
    """Ask once, on a connection of its own."""
    connection = connect(port)
    try:
        return answer_of(connection, request)
    finally:
        connection.close()


def latencies(call: Callable[[], object], *, number: int, seconds: float) -> list[float]:
    """Give the seconds of each of up to `number` calls, after one that does not count."""
    call()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < number and (len(found) < _LEAST or time.perf_counter() < end):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


def throughput(calls: Sequence[Callable[[], object]], *, number: int, seconds: float) -> float:
    """Give the calls a second of several callers at once, each on a thread of its own.

    A single caller stays on this thread: here it has its connection to the database.
    """
    if len(calls) == 1:
        took = latencies(calls[0], number=number, seconds=seconds)
        return len(took) / sum(took)
    ready = threading.Barrier(len(calls))

    def work(call: Callable[[], object]) -> tuple[int, float, float]:
        call()
        ready.wait(_ANSWER_SECONDS)
        done, start = 0, time.perf_counter()
        while done < number // len(calls) and (done < 1 or time.perf_counter() < start + seconds):
            call()
            done += 1
        return done, start, time.perf_counter()

    with ThreadPoolExecutor(len(calls)) as pool:
        counts, starts, ends = zip(*pool.map(work, calls), strict=True)
    return float(sum(counts) / (max(ends) - min(starts)))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that `share` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one subject took: medians over the rounds, in milliseconds, and per second."""

    p50: float
    p95: float
    per_second: float
    #: The median of each round, to be compared with another subject's same round.
    rounds: tuple[float, ...]


def figures(bursts: Sequence[Sequence[float]], rates: Sequence[float]) -> Figures:
    """Sum the rounds of one subject up."""
    rounds = tuple(median(burst) * 1000 for burst in bursts)
    p95 = median(percentile(burst, 0.95) for burst in bursts) * 1000
    return Figures(p50=median(rounds), p95=p95, per_second=median(rates), rounds=rounds)
