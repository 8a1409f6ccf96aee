"""Runs wanted turns as asyncio tasks of this process: when and where; services.turns is what."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from conversations import dispatch
from conversations.executors.runner import Runner
from conversations.services.turns import TurnResources


class InProcessExecutor:
    """One task a wanted conversation; the sweep finds what no wake-up told of."""

    def __init__(self, resources: TurnResources) -> None:
        self._runner = Runner(resources, take_up=self._take_up)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._again: set[UUID] = set()
        self._is_ending = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begin to run turns, those left over from an earlier process first."""
        self._loop = asyncio.get_running_loop()
        dispatch.install(self)
        self._runner.start()

    async def stop(self) -> None:
        """Run no more turns; those under way are interrupted and go on in the next process."""
        self._is_ending = True
        dispatch.install(None)
        # Whoever ends the one process there is, at a terminal most likely, waits for its end.
        await self._runner.drain(seconds=0)
        await self._runner.stop()

    def request(self, conversation_id: UUID) -> None:
        """Look at this conversation after the commit. From any thread."""
        transaction.on_commit(partial(self._wake, conversation_id))

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago the sweep has ended a round."""
        return self._runner.seconds_since_heartbeat()

    def _wake(self, conversation_id: UUID) -> None:
        if self._loop is not None and not self._loop.is_closed():
            # In a context of its own: the caller's says that it is on the database's thread, and
            # the task would not be let there.
            self._loop.call_soon_threadsafe(
                self._start_turn, conversation_id, context=contextvars.Context()
            )

    async def _take_up(self, conversation_ids: Sequence[UUID]) -> None:
        for conversation_id in conversation_ids:
            self._start_turn(conversation_id)

    def _start_turn(self, conversation_id: UUID) -> None:
        if self._is_ending:
            return
        if conversation_id in self._tasks:
            self._again.add(conversation_id)
        else:
            task = asyncio.create_task(self._turns(conversation_id))
            self._tasks[conversation_id] = task

    async def _turns(self, conversation_id: UUID) -> None:
        """Run turns of a conversation while they are wanted."""
        try:
            ran = True
            while ran or conversation_id in self._again:
                self._again.discard(conversation_id)
                ran = await self._runner.turn(conversation_id)
        finally:
            self._tasks.pop(conversation_id, None)
            self._again.discard(conversation_id)
