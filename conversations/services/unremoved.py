"""When a deleted workspace that could not be removed is tried again. It knows no table."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

#: Seconds until the second try; doubled after each one, up to the second number.
FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Next:
    at: float
    pause: float


@dataclass(slots=True)
class Unremoved:
    """The deleted conversations whose workspace this process could not remove.

    In its memory only: the next process tries each once more, which does no harm.
    """

    _next: dict[UUID, _Next] = field(default_factory=dict)

    def note(self, conversation_id: UUID) -> float:
        """Let one wait after a failure; give for how many seconds."""
        known = self._next.get(conversation_id)
        pause = min(2 * known.pause, LONGEST_SECONDS) if known else FIRST_SECONDS
        self._next[conversation_id] = _Next(at=time.monotonic() + pause, pause=pause)
        return pause

    def forget(self, conversation_id: UUID) -> None:
        """Wait for one no more: it is gone."""
        self._next.pop(conversation_id, None)

    def known(self) -> set[UUID]:
        """Give all that wait, and those whose time has come."""
        return set(self._next)

    def due(self) -> UUID | None:
        """Give the one whose time came first, if any has."""
        first = min(self._next, key=lambda one: self._next[one].at, default=None)
        return first if first and self._next[first].at <= time.monotonic() else None
