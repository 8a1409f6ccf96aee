"""How long a turn waits that the database has cut off again and again. It knows no table."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

#: Seconds that it waits after the second time; doubled each time, up to the second number.
FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 60.0


@dataclass(slots=True)
class CutOff:
    """The turns of one process that could not store what they had done, each with its next try.

    Where a database reads but has no room for more, a turn may be claimed and its LLM asked, but
    the answer cannot be kept: without a pause it would ask, and pay, once a lease.
    """

    _again_at: dict[UUID, tuple[float, float]] = field(default_factory=dict)

    def note(self, conversation_id: UUID) -> None:
        """Let a turn wait that was cut off; the first time only for its lease to run out."""
        now = time.monotonic()
        self._again_at = {
            key: one for key, one in self._again_at.items() if now - one[0] < 2 * LONGEST_SECONDS
        }
        _, pause = self._again_at.get(conversation_id, (0.0, 0.0))
        longer = min(max(2 * pause, FIRST_SECONDS), LONGEST_SECONDS)
        self._again_at[conversation_id] = (now + pause, longer)

    def has_to_wait(self, conversation_id: UUID) -> bool:
        """Whether it is too early for its next try."""
        return time.monotonic() < self._again_at.get(conversation_id, (0.0, 0.0))[0]

    def forget(self, conversation_id: UUID) -> None:
        """Let a turn begin at once again: it has been able to store all."""
        self._again_at.pop(conversation_id, None)
