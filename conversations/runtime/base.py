"""What the loop asks of a place where tools run; sandboxes and doubles implement it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from conversations.events.base import Action, Observation


class Runtime(Protocol):
    """One conversation's sandbox: a workspace at /workspace, one lasting shell."""

    async def execute(self, action: Action) -> Observation:
        """Carry out a run, read, edit or write action; failures of the tool are observations.

        One action at a time. Never raises for what the action does: a missing file, a dead shell, a
        command that ran out of time all come back as observations that say so.
        """

    async def interrupt(self, why: str) -> None:
        """Make the `execute` under way return within a second; do nothing when there is none.

        Its observation says `why`, half a sentence such as "the agent was stopped".
        """

    async def close(self) -> None:
        """End the sandbox and every process in it. Idempotent; the workspace stays."""


class RuntimeProvider(Protocol):
    """Hands out a conversation's runtime and keeps it warm between turns."""

    def check(self) -> None:
        """Raise RuntimeUnavailableError, naming what is missing, where no sandbox can start."""

    async def turn_begins(self, key: str, *, epoch: int) -> None:
        """Close the runtime of `key` unless its last turn here was the one before `epoch`.

        Else it missed a turn elsewhere, and what the shell holds is not what the agent believes.
        """

    async def acquire(self, *, key: str, workspace: Path, shell_was_used: bool) -> Runtime:
        """Give the runtime of `key`; with `shell_was_used`, a new shell says that it is."""

    async def release(self, key: str) -> None:
        """Keep the runtime warm for its close delay, then close it, unless it is acquired again."""

    def warm(self) -> dict[str, int]:
        """Give the runtimes that nobody uses and that are kept for now: key, epoch of last turn."""
        ...

    async def discard(self, key: str) -> None:
        """Close the runtime of `key` now, if there is one."""

    async def close(self) -> None:
        """Close every runtime; afterwards none is handed out."""
