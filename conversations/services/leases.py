"""Who runs a conversation's turn: claim, renew, release. Rows only; services.turns runs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from conversations.models import Control, Conversation, LoopLease
from conversations.models.loop_lease import LoopLeaseQuerySet
from conversations.services.transactions import write_transaction
from conversations.telemetry import telemetry

#: Leases that one statement renews. Each is a condition of it: SQLite takes some hundreds.
RENEWED_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one turn: every write of it names this epoch."""

    conversation_id: UUID
    epoch: int
    holder: str
    #: A stop was asked of the runner that died: the new one carries it out.
    stop_pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """How a turn stood before it was claimed."""

    wanted_since: datetime
    #: Its runner has neither given its lease back nor renewed it.
    was_left_behind: bool


class _NotClaimedError(Exception):
    """Rolls back a claim that came too late."""


def _until() -> object:
    """Give the end of a lease taken now, by the database's clock."""
    return Now() + timedelta(seconds=settings.LEASE_SECONDS)


def lease_claim(*, conversation_id: UUID, process: str) -> Claim | None:
    """Claim the wanted turn of a conversation; None: not wanted, taken, or its user is busy.

    Raises the epoch; from then on a runner with an older one can store nothing.
    """
    try:
        with write_transaction():
            claim, before = _claim(conversation_id, process)
    except _NotClaimedError:
        return None
    waited = (timezone.now() - before.wanted_since).total_seconds()
    telemetry.turn_claimed(waited=waited, recovered=before.was_left_behind)
    return claim


def _claim(conversation_id: UUID, process: str) -> tuple[Claim, _Before]:
    owner = Conversation.objects.alive().filter(pk=conversation_id).values_list("owner_id")
    # One lock order everywhere: user, conversation, lease. The user's row makes the count exact.
    list(get_user_model().objects.select_for_update(no_key=True).filter(pk__in=owner))
    alive = Conversation.objects.alive().filter(pk=conversation_id)
    if not alive.update(epoch=F("epoch") + 1):
        raise _NotClaimedError
    epoch, owner_id, updated = alive.values_list("epoch", "owner_id", "last_updated_at").get()
    lease = LoopLease.objects.filter(conversation_id=conversation_id)
    control, last_holder, expired = lease.values_list("control", "holder", "lease_expires_at").get()
    busy = LoopLease.objects.live().filter(conversation__owner_id=owner_id).count()
    # A stop that a dead runner left behind is carried out at once, and takes no slot for long.
    if busy >= settings.MAX_CONCURRENT_CONVERSATIONS and control == Control.NONE:
        raise _NotClaimedError
    # With the epoch in it, a holder's name is never used twice.
    holder = f"{process}#{epoch}"
    if not lease.wanted().update(
        holder=holder, lease_expires_at=_until(), claimed_at=Now(), control_epoch=epoch
    ):
        raise _NotClaimedError
    claim = Claim(
        conversation_id=conversation_id,
        epoch=epoch,
        holder=holder,
        stop_pending=control != Control.NONE,
    )
    # What wanted it was stored with it: an append moves that moment.
    return claim, _Before(wanted_since=expired or updated, was_left_behind=bool(last_holder))


def _held(claim: Claim) -> LoopLeaseQuerySet:
    """Find the lease where it is still this claim's.

    By its own columns only: a join would make the UPDATE judge by a subquery, which PostgreSQL does
    not look at again after it has waited for the row, and a renewal would undo a release.
    """
    return LoopLease.objects.filter(conversation_id=claim.conversation_id, holder=claim.holder)


def leases_renew(claims: Iterable[Claim]) -> set[UUID]:
    """Renew the leases that these claims still hold; give the conversations that were renewed."""
    renewed: set[UUID] = set()
    waiting = list(claims)
    for start in range(0, len(waiting), RENEWED_AT_ONCE):
        batch = waiting[start : start + RENEWED_AT_ONCE]
        # Their own columns only, as in `_held`. Nobody who has one of these rows waits for another.
        held = LoopLease.objects.filter(
            reduce(or_, (Q(conversation_id=c.conversation_id, holder=c.holder) for c in batch))
        )
        if held.update(lease_expires_at=_until()) == len(batch):
            renewed.update(claim.conversation_id for claim in batch)
        else:
            renewed.update(held.values_list("conversation_id", flat=True))
    return renewed


def requested_read(*, conversation_id: UUID) -> int:
    """Give the number of requests so far; a turn reads it before it reads the log."""
    lease = LoopLease.objects.filter(conversation_id=conversation_id)
    return lease.values_list("requested", flat=True).first() or 0


def control_read(*, claim: Claim) -> str:
    """Give what is asked of this claim's runner, empty for nothing."""
    lease = LoopLease.objects.filter(
        conversation_id=claim.conversation_id, control_epoch=claim.epoch
    )
    return lease.values_list("control", flat=True).first() or Control.NONE


def lease_release(*, claim: Claim, served: int) -> bool:
    """Give a lease back; False where it is no longer this claim's.

    A request that came after `served` was read leaves the turn wanted.
    """
    return bool(
        _held(claim).update(
            served=served, holder="", lease_expires_at=None, control=Control.NONE, control_epoch=0
        )
    )


def lease_hand_back(*, claim: Claim) -> None:
    """Let a lease run out now: the turn stays wanted and the next runner need not wait."""
    # Without a holder, so that no renewal that is under way can undo it.
    _held(claim).update(holder="", lease_expires_at=Now())
