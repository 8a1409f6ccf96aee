"""The first page: what runs, what fails, what it costs, and whether the machine has room."""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone

from conversations.admin import words
from conversations.admin.chart import cost_chart
from conversations.admin.conversations import ONE, badge
from conversations.admin.loop_reads import SWEEP_SILENCE, Loops, loops_read
from conversations.models import DailyUsage, SweepRun, TurnFailure
from settings_app.console import console

DAYS: Final = 30
_FAILURES: Final = 10
_COUNTED: Final = 1_000
_PROCESSES: Final = 20
_LITTLE: Final = 0.1


def overview() -> dict[str, Any]:
    """Give what the page shows. Seven queries, however much there is."""
    loops = loops_read()
    today = timezone.now().date()
    days = usage_days(DailyUsage.objects.all(), today)
    free, total = _disk()
    return {
        "tiles": _tiles(loops, days[-1][1], sum(cost for _, cost in days)),
        "stuck": len(loops.stuck),
        "chart": cost_chart(days),
        "days": [(day, words.money(cost)) for day, cost in reversed(days) if cost],
        "failures": _failures(),
        "machine": [
            ("Disk", f"{words.size(free)} free of {words.size(total)}", free < total * _LITTLE),
            ("Database", words.size(database_bytes()), False),
            ("Oldest lease", _oldest(loops), False),
        ],
        "sweeps": _sweeps(),
    }


def usage_days(rows: Any, today: date) -> list[tuple[date, float]]:
    """Give the cost of each of the last 30 days, days without any too. One query."""
    first = today - timedelta(days=DAYS - 1)
    found = rows.filter(day__gte=first).values("day").annotate(sum=Sum("cost"))
    costs = dict(found.values_list("day", "sum"))
    every = [first + timedelta(days=number) for number in range(DAYS)]
    return [(day, costs.get(day, 0.0)) for day in every]


def _tiles(loops: Loops, today: float, month: float) -> list[dict[str, Any]]:
    since = timezone.now() - timedelta(hours=1)
    failed = TurnFailure.objects.filter(failed_at__gt=since)[: _COUNTED + 1].count()
    page = reverse("admin:conversations_looplease_changelist")
    more = "+" if loops.cut else ""
    return [
        {"name": "Running", "value": f"{len(loops.running)}{more}", "url": f"{page}#running"},
        {"name": "Waiting", "value": f"{len(loops.waiting)}{more}", "url": f"{page}#waiting"},
        {
            "name": "Stuck",
            "value": f"{len(loops.stuck)}{more}",
            "url": f"{page}#stuck",
            "bad": bool(loops.stuck),
        },
        {
            "name": "Failed in the last hour",
            "value": f"{failed:,}" if failed <= _COUNTED else f"over {_COUNTED:,}",
            "url": "#failed",
            "bad": bool(failed),
        },
        {"name": "Cost today (UTC)", "value": words.money(today), "url": "#cost"},
        {"name": f"Cost in {DAYS} days", "value": words.money(month), "url": "#cost"},
    ]


def _failures() -> list[dict[str, Any]]:
    """Give the newest failures of conversations that are still there."""
    rows = TurnFailure.objects.filter(conversation__deleted_at__isnull=True)
    newest = rows.select_related("conversation__owner").defer("conversation__replay")
    return [
        {
            "when": words.since(failure.failed_at),
            "at": failure.failed_at,
            "title": str(failure.conversation),
            "url": reverse(ONE, args=[failure.conversation_id]),
            "owner": failure.conversation.owner.get_username(),
            "state": badge(failure.state),
            "reason": failure.reason or words.NOTHING,
        }
        for failure in newest.order_by("-failed_at")[:_FAILURES]
    ]


def _oldest(loops: Loops) -> str:
    if not loops.running:
        return "no lease is held"
    oldest = loops.running[0]
    return f"{words.since(oldest.since)}: “{oldest.conversation}”, {oldest.holder}"


def _sweeps() -> list[dict[str, Any]]:
    """Give each process's last sweep; one that ended is seen for a day."""
    now = timezone.now()
    return [
        {
            "process": run.process,
            "up": words.since(run.started_at),
            "ago": words.since(run.last_run_at),
            "at": run.last_run_at,
            "silent": now - run.last_run_at > SWEEP_SILENCE,
        }
        for run in SweepRun.objects.order_by("-last_run_at")[:_PROCESSES]
    ]


def _disk() -> tuple[int, int]:
    """Give free and all bytes of the disk below DATA_DIR."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    return usage.free, usage.total


def database_bytes() -> int:
    """Give what the database takes on its disk."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name = Path(str(connection.settings_dict["NAME"]))
    files = (name, name.with_name(f"{name.name}-wal"))
    return sum(os.stat(file).st_size for file in files if file.exists())  # noqa: PTH116  # a size, no path


console().overview = overview
