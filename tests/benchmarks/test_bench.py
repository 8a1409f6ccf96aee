"""`make bench`, at its smallest: every line is there. What the figures are is not looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.report import BEGIN, END
from tests.databases import ROOT

if not settings.TEST_DATABASE_URL:
    # Much the same on both, and it takes long: on SQLite with the long runs.
    pytestmark = pytest.mark.chaos

LINES = (
    *(
        f"list of 20, {stored} stored, {page}"
        for stored, last in (("100", 5), ("1,000", 50))
        for page in ("first page", f"page {last} (the deepest)")
    ),
    "detail",
    "PATCH a title",
    "create",
    "append a message, in process",
    "trajectory of 300 events",
    "300 events, 100 a page; a second: pages",
)
COMPARISONS = (
    *(f"{line} ÷ the bare DRF view" for line in LINES if line.startswith(("list", "detail"))),
    "create ÷ its SQL and an empty DRF view",
    "list of 20, 1,000 stored, first page ÷ at 100",
    "list of 20, 1,000 stored, page 50 (the deepest) ÷ at 100",
    "threads that idle conversations cost",
    "asyncio tasks that idle conversations cost",
)


def bench(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, **({"TEST_DATABASE_URL": url} if url else {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def cells(report: str) -> dict[str, list[str]]:
    """Give the cells of each line of the tables, by the first one."""
    rows = [line.strip("| ").split(" | ") for line in report.splitlines() if line.startswith("| ")]
    return {name: rest for name, *rest in rows}


def test_a_quick_run_writes_every_line_and_keeps_what_stands_around(tmp_path: Path) -> None:
    place = tmp_path / "performance.md"
    place.write_text(f"# By hand\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    url = settings.TEST_DATABASE_URL
    kind = "postgresql" if url else "sqlite"
    done = bench(url, "--quick", "--only", kind, "--report", str(place))
    assert done.returncode == 0, done.stderr
    report = place.read_text()
    assert report.startswith(f"# By hand\n\n{BEGIN}\n")
    assert report.endswith(f"{END}\n\nThe end.\n")
    assert "old" not in report
    table = cells(report)
    for name in LINES:
        figures = table[name]
        assert len(figures) == 4, name
        assert all(cell.endswith("/s") for cell in figures if cell != "-"), figures
    for name in COMPARISONS:
        assert table[name][1].startswith("at most")
        assert table[name][2] in ("met", "**not met**")
    for name in ("idle, after the start", "with 20 idle conversations more"):
        assert all(int(cell) > 0 for cell in table[name])
    assert all(cell.endswith("/s") for cell in table["2 writers"][:3])
    assert "to a socket at another, p50 / p95 of 1: " in report
    # Nothing of the machine is told.
    assert not any(name in report for name in (str(ROOT), str(tmp_path), os.uname().nodename))


def test_a_database_that_does_not_answer_is_said(tmp_path: Path) -> None:
    place = tmp_path / "performance.md"
    url = "postgresql://nobody@127.0.0.1:9/none"
    done = bench(url, "--only", "postgresql", "--report", str(place))
    assert done.returncode == 0, done.stderr
    assert "No PostgreSQL answered" in place.read_text()
