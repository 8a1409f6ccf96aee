"""The table of a run, for people and for docs/reliability.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from chaos.plan import Blow
from chaos.run import Report

_WORDS = ("lost", "doubled", "repeated effects", "open actions", "stuck")
_MOST_NAMED = 5


def total_findings(report: Report) -> int:
    """Count all that is wrong."""
    found = sum(len(_found(report, word)) for word in _WORDS)
    return found + len(report.deaths) + bool(report.insane)


def report_text(report: Report) -> str:
    """Give the table, and what was found where anything was."""
    settings = report.settings
    processes = f"{settings.web} web, {settings.workers} workers"
    lines = [
        f"| {report.kind}, seed {settings.seed}, {processes} | {report.seconds:.0f} s |",
        "|---|---|",
        *(f"| {blow} | {report.blows[blow]} |" for blow in Blow if report.blows[blow]),
        f"| conversations | {len(report.tasks)} |",
        f"| events | {sum(len(task.log) for task in report.tasks)} |",
        f"| commands carried out | {sum(len(task.effects) for task in report.tasks)} |",
        *(f"| {word} | {len(_found(report, word))} |" for word in _WORDS),
        f"| processes that ended by themselves | {len(report.deaths)} |",
        f"| recovery after kill -9, p50 / p95 / max | {_percentiles(report.recoveries)} |",
        f"| end after SIGTERM, p50 / p95 / max | {_percentiles(report.drains)} |",
        f"| sanity_check | {'found something' if report.insane else 'clean'} |",
    ]
    for word in _WORDS:
        lines += [f"{word}: {found}" for found in _found(report, word)[:_MOST_NAMED]]
    return "\n".join([*lines, *report.deaths[:_MOST_NAMED], report.insane, ""])


def _found(report: Report, word: str) -> list[str]:
    return [
        f"{task.conversation_id}: {found}"
        for task in report.tasks
        for found in task.findings()[word]
    ]


def _percentiles(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    if len(seconds) == 1:
        return f"{seconds[0]:.1f} s"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49]:.1f} / {cuts[94]:.1f} / {max(seconds):.1f} s of {len(seconds)}"
