"""Subjects that are measured in turn, A B A B …, and the ratios between them. No server here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Protocol

from benchmarks.load import (
    Figures,
    Request,
    answer_of,
    connect,
    figures,
    latencies,
    throughput,
)
from benchmarks.sizes import Sizes


class Subject(Protocol):
    """Something that can be asked again and again."""

    @property
    def alone(self) -> bool:
        """Whether one caller asks also where throughput is counted."""
        ...

    def calls(self, callers: int) -> Iterator[list[Callable[[], object]]]:
        """Give a context with that many independent calls."""
        ...


@dataclass(frozen=True, slots=True)
class Http:
    """Requests to a server; one call sends them all, one after another, on its connection."""

    port: int
    requests: tuple[Request, ...]
    #: What many ask at once, where that is not the same.
    loaded: tuple[Request, ...] = ()
    alone: bool = False

    def calls(self, callers: int) -> Iterator[list[Callable[[], object]]]:
        """Connect; what is connected is closed at the end."""
        connections = [connect(self.port) for _ in range(callers)]
        requests = self.loaded if self.loaded and callers > 1 else self.requests

        def ask(number: int) -> None:
            for request in requests:
                answer_of(connections[number], request)

        try:
            yield [partial(ask, number) for number in range(callers)]
        finally:
            for connection in connections:
                connection.close()


@dataclass(frozen=True, slots=True)
class InProcess:
    """A function of this process; it is called by one thread."""

    call: Callable[[], object]
    alone: bool = True

    def calls(self, callers: int) -> Iterator[list[Callable[[], object]]]:
        """Give it."""
        yield [self.call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: the product and the floors under it, by name."""

    name: str
    subjects: Mapping[str, Subject]


Measured = dict[str, dict[str, Figures]]


def measure(rows: Sequence[Row], sizes: Sizes) -> Measured:
    """Measure all subjects of these rows in turn, round after round."""
    places = [(row.name, key) for row in rows for key in row.subjects]
    subjects = [subject for row in rows for subject in row.subjects.values()]
    bursts: list[list[list[float]]] = [[] for _ in places]
    rates: list[list[float]] = [[] for _ in places]
    for _ in range(sizes.rounds):
        for number, subject in enumerate(subjects):
            with contextmanager(subject.calls)(1) as calls:
                bursts[number].append(
                    latencies(calls[0], number=sizes.requests, seconds=sizes.seconds)
                )
        for number, subject in enumerate(subjects):
            callers = 1 if subject.alone else sizes.connections
            with contextmanager(subject.calls)(callers) as calls:
                rates[number].append(
                    throughput(calls, number=sizes.load_requests, seconds=sizes.load_seconds)
                )
    measured: Measured = {row.name: {} for row in rows}
    for (name, key), burst, rate in zip(places, bursts, rates, strict=True):
        measured[name][key] = figures(burst, rate)
    return measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A comparison with a target, or without one."""

    name: str
    value: float
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is within its target."""
        return self.target is None or self.value <= self.target


def ratio(name: str, above: Figures, below: Sequence[Figures], target: float | None) -> Ratio:
    """Compare with the sum of others, round by round: a machine that drifts moves both."""
    sums = [sum(values) for values in zip(*(one.rounds for one in below), strict=True)]
    value = median(a / b for a, b in zip(above.rounds, sums, strict=True))
    return Ratio(name=name, value=value, target=target)
