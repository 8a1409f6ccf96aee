"""The report's tables of what grows: writers, sockets and loops. It measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.load import percentile
from benchmarks.servers import Footprint
from benchmarks.tables import short, table, verdict

#: Events a second of many writers on PostgreSQL.
_APPENDS: Final = 2_000
_MANY: Final = 8
#: Resident MiB of a worker with so many loops that wait.
_MEGABYTES: Final = 1_536
_CROWD: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Appends:
    """Events a second of all writers: medians of the rounds, and of the rounds' ratios."""

    writers: int
    product: float
    #: Each with the cost of an answer of an LLM, all of one user.
    counted: float
    #: Bare BEGIN, UPDATE, INSERT, COMMIT by the driver, prepared, with the same rows.
    floor: float
    #: How often the floor fits into the product.
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One process with loops that wait."""

    #: So many were begun, and so many waited at once.
    asked: int
    loops: int
    footprint: Footprint
    #: Seconds until they waited, from the first create.
    seconds: float
    #: Of one core, while nothing happens.
    share: float
    #: CPU of the server for one stored event, from the create to the end.
    milliseconds_an_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One database's figures."""

    on_postgresql: bool
    appends: Sequence[Appends]
    #: Seconds from an append in one process to a socket at another.
    wake_ups: Sequence[float]
    waiting: Sequence[Waiting]

    def parts(self) -> list[str]:
        """Give the tables, and the lines between them."""
        milliseconds = [seconds * 1000 for seconds in self.wake_ups]
        heard = (
            "From an append in one process to a socket at another, p50 / p95 of "
            f"{len(milliseconds)}: "
            f"{short(median(milliseconds))} / {short(percentile(milliseconds, 0.95))} ms."
        )
        appends = table(
            [
                "events a second, a commit each",
                "Handrail",
                "with the cost of an answer, one user",
                "bare statements",
                "bare ÷ Handrail",
                "target",
                "",
            ],
            [self._append(one) for one in self.appends],
        )
        return [appends, heard, *([self._loops()] if self.waiting else [])]

    def _append(self, one: Appends) -> list[str]:
        aimed = self.on_postgresql and one.writers >= _MANY
        return [
            f"{one.writers} writer{'s' if one.writers > 1 else ''}",
            *(f"{short(rate)}/s" for rate in (one.product, one.counted, one.floor)),
            f"{one.ratio:.2f}",
            f"at least {_APPENDS:,}/s" if aimed else "-",
            verdict(met=one.product >= _APPENDS) if aimed else "",
        ]

    def _loops(self) -> str:
        rows = [
            [
                f"{one.loops:,}" if one.loops == one.asked else f"{one.loops:,} of {one.asked:,}",
                f"{one.footprint.megabytes:.0f}",
                str(one.footprint.threads),
                str(one.footprint.tasks),
                short(one.seconds),
                f"{one.share:.1%}",
                short(one.milliseconds_an_event),
                *self._memory(one),
            ]
            for one in self.waiting
        ]
        head = [
            "loops that wait for their LLM, one worker"
            if self.on_postgresql
            else "loops that wait for their LLM, one server",
            "resident MB",
            "threads",
            "asyncio tasks",
            "s until all wait",
            "CPU of a core while they wait",
            "ms of CPU an event",
            "target",
            "",
        ]
        return table(head, rows)

    def _memory(self, one: Waiting) -> list[str]:
        if not self.on_postgresql or one.asked < _CROWD:
            return ["-", ""]
        met = one.loops >= _CROWD and one.footprint.megabytes < _MEGABYTES
        return [f"under {_MEGABYTES:,} MB", verdict(met=met)]
