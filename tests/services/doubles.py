"""A place where tools run that counts effects, and a process made of it and a scripted model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from conversations.agent.limits import LoopConfig
from conversations.agent.llm import LLMError, LLMResponse
from conversations.agent.testing import ScriptedLLM
from conversations.events.actions import RunAction
from conversations.events.base import Action, Observation
from conversations.events.observations import RunObservation, ThinkObservation
from conversations.runtime.base import Runtime
from conversations.services.lease_keeper import LeaseKeeper
from conversations.services.titles import TitleMaker
from conversations.services.turns import TurnResources, turn_run
from settings_app.selectors import EffectiveSettings


class CountingRuntime:
    """Records each command as an effect; `block` is carried out only when it is let go."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.began = asyncio.Event()
        self.let_go = asyncio.Event()
        self.interrupted_by = ""
        self._interrupted = asyncio.Event()

    async def execute(self, action: Action) -> Observation:
        """Record the effect; a command that starts with `block` waits."""
        if not isinstance(action, RunAction):
            return ThinkObservation(content=f"did {action.kind}")
        self.effects.append(action.command)
        if action.command.startswith("explode"):
            message = "the runtime broke after the effect"
            raise RuntimeError(message)
        exit_code = 0
        if action.command.startswith("block"):
            self.began.set()
            exit_code = await self._blocked()
        return RunObservation(content="ok", command=action.command, exit_code=exit_code)

    async def _blocked(self) -> int:
        self._interrupted.clear()
        released = asyncio.ensure_future(self.let_go.wait())
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({released, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
            interrupted.cancel()
        return 130 if self._interrupted.is_set() else 0

    async def interrupt(self, why: str) -> None:
        """Make a blocked command return."""
        self.interrupted_by = why
        self._interrupted.set()

    async def close(self) -> None:
        """Hold nothing."""


class CountingRuntimeProvider:
    """One runtime for all conversations of a test."""

    def __init__(self) -> None:
        self.runtime = CountingRuntime()
        self.discarded: list[str] = []
        self._epochs: dict[str, int] = {}
        self._warm: set[str] = set()

    def check(self) -> None:
        """Need nothing."""

    async def turn_begins(self, key: str, *, epoch: int) -> None:
        """Remember the turn."""
        self._epochs[key] = epoch

    async def acquire(self, *, key: str, workspace: Path, shell_was_used: bool) -> Runtime:
        """Give the one runtime."""
        self._warm.discard(key)
        return self.runtime

    async def release(self, key: str) -> None:
        """Keep it."""
        self._warm.add(key)

    def warm(self) -> dict[str, int]:
        """Give whose turns have ended."""
        return {key: self._epochs.get(key, 0) for key in self._warm}

    async def discard(self, key: str) -> None:
        """Remember who was discarded."""
        self._warm.discard(key)
        self.discarded.append(key)

    async def close(self) -> None:
        """Hold nothing."""


class ScriptedTurns:
    """One process: its model, its runtimes, its lease keeper."""

    def __init__(
        self,
        script: Sequence[LLMResponse | LLMError],
        *,
        process: str,
        config: LoopConfig,
        runtimes: CountingRuntimeProvider,
        keeper_runs: bool = True,
        titles: TitleMaker | None = None,
    ) -> None:
        self.llm = ScriptedLLM(script)
        self.runtimes = runtimes
        self.keeper = LeaseKeeper()
        if keeper_runs:
            self.keeper.start()
        self.resources = TurnResources(
            runtimes=runtimes,
            llm_for=self._llm_for,
            keeper=self.keeper,
            process=process,
            loop_config=config,
            titles=titles,
        )

    def _llm_for(self, user_settings: EffectiveSettings) -> ScriptedLLM:
        return self.llm

    @property
    def effects(self) -> list[str]:
        """What was carried out."""
        return self.runtimes.runtime.effects

    async def run(self, conversation_id: UUID) -> bool:
        """Run one turn, if one is wanted."""
        async with asyncio.timeout(20):
            return await turn_run(conversation_id=conversation_id, resources=self.resources)

    async def run_all(self, conversation_id: UUID) -> int:
        """Run turns until none is wanted; give their number."""
        turns = 0
        while await self.run(conversation_id):
            turns += 1
            assert turns < 20, "the conversation wants turns for ever"
        return turns
