"""The row that says whether a turn is wanted and who runs it: narrow, and written often."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, Subquery
from django.db.models.functions import Now

from conversations.models.conversation import Conversation

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler, _AsSqlType


class Control(models.TextChoices):
    """What the runner of one epoch is asked to do."""

    NONE = ""
    STOP = "stop"
    PAUSE = "pause"
    #: A message came after a stop that is not yet carried out: stop, then go on.
    RESTART = "restart"


class Status(models.TextChoices):
    """What a conversation's `status` says on the wire. Derived from its lease, never stored."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


#: No lease is longer (LEASE_SECONDS ends at half of it). One that seems to be was taken before the
#: clock was set back, and would else be held by a dead runner until the clock has caught up.
LONGEST_LEASE: Final = timedelta(seconds=120)


def _lives() -> Q:
    return Q(lease_expires_at__gt=Now(), lease_expires_at__lte=Now() + LONGEST_LEASE)


class LoopLeaseQuerySet(models.QuerySet["LoopLease"]):
    """The questions about a turn, each asked in one way."""

    def live(self) -> LoopLeaseQuerySet:
        """Keep what is being run now: by the database's clock, never by a stored status."""
        return self.filter(_lives())

    def wanted(self) -> LoopLeaseQuerySet:
        """Keep what should be run and is not: requested, or left behind by a runner that died."""
        return self.in_use().exclude(_lives())

    def running(self) -> LoopLeaseQuerySet:
        """Keep what the wire calls RUNNING: a turn is wanted or leased."""
        return self.in_use().filter(Q(requested__gt=F("served")) | _lives())

    def in_use(self) -> LoopLeaseQuerySet:
        """Keep what is wanted or leased, leases of runners that died included.

        The condition of the index `lease_wanted`, word for word, so that it can be used.
        """
        return self.filter(Q(requested__gt=F("served")) | Q(lease_expires_at__isnull=False))


class LoopLease(models.Model):
    """One to one with Conversation. A turn is wanted while requested > served."""

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, primary_key=True, related_name="lease"
    )
    requested = models.BigIntegerField(default=0)
    served = models.BigIntegerField(default=0)
    #: Process and turn that hold the lease; empty when nobody does.
    holder = models.CharField(max_length=128, blank=True)
    #: Null when nobody holds it; in the past when its runner died.
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: When its holder, or the last one, took it: for people who look at it.
    claimed_at = models.DateTimeField(null=True, blank=True)
    control = models.CharField(
        max_length=8, choices=Control.choices, default=Control.NONE, blank=True
    )
    #: The epoch that `control` is meant for.
    control_epoch = models.BigIntegerField(default=0)

    objects = LoopLeaseQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                "conversation",
                name="lease_wanted",
                condition=Q(requested__gt=F("served")) | Q(lease_expires_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}: {self.served}/{self.requested} {self.holder}"


class _Among(Func):
    """Whether the first expression is among the rows of the second, a subquery that gives few.

    PostgreSQL takes a third of all leases for running, whatever its statistics say, and with IN it
    would walk the whole list of a user (0.5 s at a million rows). An array it asks for first.
    """

    template = "%(expressions)s"
    arg_joiner = " IN "
    output_field = models.BooleanField()

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> _AsSqlType:
        """Compare with an array."""
        return self.as_sql(
            compiler, connection, template="%(expressions)s)", arg_joiner=" = ANY (ARRAY"
        )


def among(leases: LoopLeaseQuerySet) -> _Among:
    """Give the condition that a conversation, or a lease, is one of these few leases' own."""
    return _Among(F("pk"), Subquery(leases.values("conversation")))


def is_running() -> Exists:
    """Give the one expression for the wire's RUNNING: a turn is wanted or leased."""
    return Exists(LoopLease.objects.running().filter(conversation=OuterRef("pk")))
