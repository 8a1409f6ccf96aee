"""What runs, what waits and what is stuck: reads of the few leases that say so. No page here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from conversations.models import Control, Conversation, LoopLease, SweepRun
from conversations.models.loop_lease import among

#: Leases that one page shows.
MOST: Final = 500
#: A process whose sweep is older than this does not sweep any more.
SWEEP_SILENCE: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A turn that runs, waits, or is stuck."""

    conversation: Conversation
    holder: str
    since: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """All of them, the longest first. `cut` where there are more than were read."""

    running: list[Loop]
    waiting: list[Loop]
    stuck: list[Loop]
    cut: bool


def stuck_after() -> timedelta:
    """Give how long a wanted turn may be run by nobody before something is wrong."""
    return timedelta(seconds=max(15, 3 * settings.LEASE_SECONDS))


def loops_read() -> Loops:
    """Read them. Three queries, however many there are."""
    busy = LoopLease.objects.filter(
        # The condition of the index `lease_wanted`.
        Q(requested__gt=F("served")) | Q(lease_expires_at__isnull=False)
    ).values("conversation_id", "holder", "lease_expires_at", "claimed_at", "control")
    leases: list[Any] = list(busy[: MOST + 1])
    rows = _conversations([lease["conversation_id"] for lease in leases[:MOST]])
    now = timezone.now()
    sweeps = SweepRun.objects.filter(last_run_at__gt=now - SWEEP_SILENCE).exists()
    known = [lease for lease in leases[:MOST] if lease["conversation_id"] in rows]
    live = [lease for lease in known if (lease["lease_expires_at"] or now) > now]
    turns = Counter(rows[lease["conversation_id"]].owner_id for lease in live)
    running = [_running(lease, rows[lease["conversation_id"]]) for lease in live]
    waiting: list[Loop] = []
    stuck: list[Loop] = []
    for lease in known:
        if lease in live:
            continue
        row = rows[lease["conversation_id"]]
        loop, is_stuck = _judged(lease, row, turns[row.owner_id], now, sweeps=sweeps)
        (stuck if is_stuck else waiting).append(loop)
    for loops in (running, waiting, stuck):
        loops.sort(key=lambda loop: loop.since)
    return Loops(running=running, waiting=waiting, stuck=stuck, cut=len(leases) > MOST)


def loops_count() -> dict[str, int]:
    """Give how many run, wait and are stuck, by the same rules and without a limit. One query."""
    now = timezone.now()
    live = Q(lease_expires_at__gt=now)
    late = ~live & Q(since__lt=now - stuck_after())
    owners = (
        LoopLease.objects.filter(
            among(LoopLease.objects.in_use()), conversation__deleted_at__isnull=True
        )
        .alias(since=Coalesce("lease_expires_at", "conversation__last_updated_at"))
        .values("conversation__owner")
        .annotate(
            known=Count("pk"),
            running=Count("pk", filter=live),
            late=Count("pk", filter=late),
            # What is asked to stop waits for no other turn.
            late_to_stop=Count("pk", filter=late & ~Q(control=Control.NONE)),
        )
        .values_list("known", "running", "late", "late_to_stop")
    )
    known = running = stuck = 0
    for all_of_one, run, late_ones, to_stop in owners:
        known += all_of_one
        running += run
        stuck += to_stop if run >= settings.MAX_CONCURRENT_CONVERSATIONS else late_ones
    return {"running": running, "waiting": known - running - stuck, "stuck": stuck}


def _conversations(ids: list[UUID]) -> dict[UUID, Conversation]:
    rows = Conversation.objects.alive().filter(pk__in=ids).select_related("owner")
    return rows.defer("replay").in_bulk()


def _running(lease: dict[str, Any], row: Conversation) -> Loop:
    asked = lease["control"]
    return Loop(
        conversation=row,
        holder=lease["holder"],
        since=lease["claimed_at"] or row.last_updated_at,
        why=f"{asked} was asked of it" if asked else "",
    )


def _judged(
    lease: dict[str, Any], row: Conversation, turns: int, now: datetime, *, sweeps: bool
) -> tuple[Loop, bool]:
    """Say why nobody runs it, and whether that is wrong."""
    expired = lease["lease_expires_at"]
    # What wanted it has been stored with it: an append moves this moment.
    since = expired or row.last_updated_at
    limit = settings.MAX_CONCURRENT_CONVERSATIONS
    limited = turns >= limit and lease["control"] == Control.NONE
    late = now - since > stuck_after()
    if limited:
        why = f"its owner runs {turns} of {limit} turns"
    elif not late:
        why = "about to start"
    elif not sweeps:
        runs = "worker" if settings.EXECUTOR == "procrastinate" else "server process"
        why = f"no {runs} sweeps: start one"
    elif expired:
        why = "its lease ran out and nobody has taken it over: read the server's log"
    else:
        why = f"wanted, though its owner runs {turns} of {limit} turns: read the server's log"
    loop = Loop(conversation=row, holder=lease["holder"], since=since, why=why)
    return loop, late and not limited
