"""Writes what was measured as Markdown, between two markers of a file. It measures nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.load import Figures
from benchmarks.measures import Measured, Ratio
from benchmarks.scale import Scale
from benchmarks.servers import Footprint
from benchmarks.tables import short, table, verdict

BEGIN: Final = "<!-- written by `make bench`: begin -->"
END: Final = "<!-- written by `make bench`: end -->"
#: What stands in a cell where there is no figure.
_NOTHING: Final = "-"
_COSTS: Final = (
    "Not met; the three largest costs of the request (cProfile, own time; in process, so without "
    "the server and the socket):"
)
_PACKAGES: Final = ("Django", "djangorestframework", "uvicorn", "a2wsgi", "psycopg")


@dataclass(frozen=True, slots=True)
class Idle:
    """What the server held at one moment."""

    when: str
    footprint: Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One database's part of the report."""

    database: str
    seeding: str
    measured: Measured
    ratios: Sequence[Ratio]
    idle: Sequence[Idle]
    scale: Scale
    #: By the line of the table, what its request spends most of its time in.
    profiles: dict[str, list[str]]

    def markdown(self) -> str:
        """Give the part as text."""
        columns = list(dict.fromkeys(key for row in self.measured.values() for key in row))
        figures = [
            [name, *(_figures(row.get(key)) for key in columns)]
            for name, row in self.measured.items()
        ]
        parts = [
            f"## {self.database}",
            self.seeding,
            table(["p50 / p95 in ms, a second", *columns], figures),
            table(["ratio of medians", "measured", "target", ""], self._comparisons()),
            table(["the server", "resident MB", "threads", "asyncio tasks"], self._idle()),
            *self.scale.parts(),
            *self._profiles(),
        ]
        return "\n\n".join(parts) + "\n"

    def _comparisons(self) -> list[list[str]]:
        rows = [
            [
                one.name,
                f"{one.value:.2f}",
                f"at most {one.target}" if one.target else _NOTHING,
                verdict(met=one.met) if one.target else "",
            ]
            for one in self.ratios
        ]
        before, after = (one.footprint for one in self.idle[-2:])
        for what, more in (
            ("threads", after.threads - before.threads),
            ("asyncio tasks", after.tasks - before.tasks),
        ):
            name = f"{what} that idle conversations cost"
            rows.append([name, str(more), "at most 0", verdict(met=more <= 0)])
        return rows

    def _idle(self) -> list[list[str]]:
        return [
            [
                one.when,
                f"{one.footprint.megabytes:.0f}",
                str(one.footprint.threads),
                str(one.footprint.tasks),
            ]
            for one in self.idle
        ]

    def _profiles(self) -> list[str]:
        if not self.profiles:
            return []
        lines = [_COSTS]
        for name, costs in self.profiles.items():
            lines.append(f"- {name}")
            lines += [f"  - {cost}" for cost in costs]
        return [lines[0] + "\n\n" + "\n".join(lines[1:])]


def _figures(figures: Figures | None) -> str:
    if figures is None:
        return _NOTHING
    return f"{short(figures.p50)} / {short(figures.p95)}, {short(figures.per_second)}/s"


def conditions() -> str:
    """Say when, on what and with what was measured; no names and no paths of the machine."""
    cores = len(os.sched_getaffinity(0))
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"Measured on {datetime.now(tz=UTC):%Y-%m-%d}: {platform.system()} on "
        f"{platform.machine()}, {cores} cores, {gigabytes:.0f} GB of memory; load of the machine "
        f"before the run {os.getloadavg()[0]:.1f}. Python {platform.python_version()}, {versions}."
    )


def report_write(place: Path, text: str) -> None:
    """Put the text between the markers of the file; what stands around them stays."""
    before, found, rest = place.read_text().partition(BEGIN) if place.exists() else ("", "", "")
    after = rest.partition(END)[2] if found else "\n"
    place.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")
