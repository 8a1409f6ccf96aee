"""What a bus promises: a hint after a commit. Who hears it reads the log from its own cursor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Call:
    """A statement that wakes other processes' listeners, and what its placeholders stand for."""

    text: str
    parameters: tuple[str, ...]


class Subscription(Protocol):
    """One listener's ear for one conversation."""

    async def wait(self) -> None:
        """Return when something may have changed since the last return."""

    def close(self) -> None:
        """Listen no more. Idempotent."""


class Bus(Protocol):
    """Wake-ups by conversation. A lost or doubled one costs time, never an event (invariant 7)."""

    async def start(self) -> None:
        """Hear other processes from now on, as far as this bus can."""

    async def stop(self) -> None:
        """Hear them no more. Idempotent."""

    def publish(self, conversation_id: UUID) -> None:
        """Wake every listener of a conversation. Called after the commit, from any thread.

        It raises nothing: what it tells of is stored already.
        """

    def call(self, conversation_id: UUID) -> Call | None:
        """Give what wakes the other processes, to be sent behind a commit; None: nothing does.

        Who sends it wakes this process's own listeners by `wake`.
        """

    def wake(self, conversation_id: UUID) -> None:
        """Wake the listeners of this process only. From any thread."""

    def subscribe(self, conversation_id: UUID) -> Subscription:
        """Listen from now on. Called in a running event loop."""

    def watched(self) -> list[UUID]:
        """Give the conversations that this process listens to."""
