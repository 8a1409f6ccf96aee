"""Asks for a turn, inside the transaction that made it wanted, and hands over to the executor."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from django.db.models import F

from conversations.models import LoopLease


class Executor(Protocol):
    """Whoever runs wanted turns in this process, or puts them on a queue."""

    def request(self, conversation_id: UUID) -> None:
        """Take note that a turn is wanted. Called inside the transaction that makes it so."""

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago this executor has last looked for work, from any thread."""
        ...


_installed: list[Executor] = []


def install(executor: Executor | None) -> None:
    """Make `executor` the one of this process; None takes it away.

    A process without one still asks for turns: the sweep of a process that has one finds them.
    """
    _installed[:] = [] if executor is None else [executor]


def seconds_since_heartbeat() -> float | None:
    """Give how long ago this process's executor has last looked for work; None without one."""
    return next((executor.seconds_since_heartbeat() for executor in _installed), None)


def _hand_over(conversation_id: UUID) -> None:
    for executor in _installed:
        executor.request(conversation_id)


def lease_create(conversation_id: UUID, *, wanted: bool) -> None:
    """Store the lease of a new conversation; `wanted`: with its first request for a turn."""
    LoopLease.objects.create(conversation_id=conversation_id, requested=int(wanted))
    if wanted:
        _hand_over(conversation_id)


def request_turn(conversation_id: UUID) -> None:
    """Count one more request for a turn, and tell the executor."""
    LoopLease.objects.filter(conversation_id=conversation_id).update(requested=F("requested") + 1)
    _hand_over(conversation_id)
