"""What the loop asks of its log. No database here: services/loop_log.py implements it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from conversations.agent.llm import Usage
from conversations.events.base import Event, NewEvent


class Log(Protocol):
    """The loop's door to its log; each write is one transaction, fenced by the epoch."""

    async def read(self, after: int) -> list[Event]:
        """Give the stored events with an id above `after`, in order."""

    async def append(self, events: Sequence[NewEvent], *, usage: Usage | None = None) -> None:
        """Store events. Raises FencedError or ConversationGoneError, storing nothing."""

    async def rest(self, events: Sequence[NewEvent], *, only_if_last: int) -> None:
        """Store events and give the lease back. Raises LogMovedError if the log has grown."""

    async def stop(self, events: Sequence[NewEvent], *, only_if_last: int) -> None:
        """Store events and the state that was asked for, and give the lease back; as `rest`."""
