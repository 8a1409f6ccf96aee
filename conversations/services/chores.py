"""Who does a chore: claimed in the database, so that of many processes one does it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now

from conversations.models import Chore
from conversations.services.transactions import write_transaction

#: A process that has not renewed for so long is taken for dead: another one goes on.
LEASE = timedelta(seconds=60)


def chore_claim(*, name: str, process: str, due: datetime) -> bool:
    """Claim a chore that was not done since `due`; False where it was, or somebody is at it."""
    with write_transaction():
        Chore.objects.bulk_create([Chore(name=name)], ignore_conflicts=True)
        to_do = Chore.objects.filter(Q(done_at=None) | Q(done_at__lt=due), name=name)
        # Unlike exclude(), this needs no second look at a null.
        free = to_do.filter(
            Q(lease_expires_at=None)
            | Q(lease_expires_at__lte=Now())
            # Taken before the clock was set back: its holder would have renewed it since.
            | Q(lease_expires_at__gt=Now() + 2 * LEASE)
        )
        return bool(free.update(holder=process, lease_expires_at=Now() + LEASE))


def chore_renew(*, name: str, process: str) -> bool:
    """Go on with a chore; False where another process has taken it over."""
    held = Chore.objects.filter(name=name, holder=process)
    return bool(held.update(lease_expires_at=Now() + LEASE))


def chore_done(*, name: str, process: str) -> None:
    """Say that it is done, for every process."""
    held = Chore.objects.filter(name=name, holder=process)
    held.update(done_at=Now(), holder="", lease_expires_at=None)


def chore_leave(*, name: str, process: str) -> None:
    """Leave it undone for the next process, which need not wait."""
    held = Chore.objects.filter(name=name, holder=process)
    held.update(holder="", lease_expires_at=None)
