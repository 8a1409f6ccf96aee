"""Once a second: find wanted turns, wake who watches, clear away what was deleted. Idempotent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog
from django.db import DatabaseError

from conversations.bus import get_bus
from conversations.runtime.base import RuntimeProvider
from conversations.selectors import Pulse, pulses, wanted_conversations
from conversations.services.cleanup import (
    deleted_conversations,
    tombstone_remove,
    workspace_clear,
)
from conversations.services.presence import Presence
from conversations.services.repeating import failure_tell, failures_over
from conversations.services.sweep_runs import sweep_begin, sweep_run_note
from conversations.services.transactions import in_db_thread
from conversations.services.unremoved import Unremoved

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
#: How often a process notes that it has swept.
NOTE_SECONDS = 5.0
#: Turns that one round starts, and conversations that one query asks for.
BATCH = 500


class Sweep:
    """Makes up for every wake-up that was lost, and for those that other processes can't send."""

    def __init__(
        self,
        *,
        process: str,
        take_up: Callable[[Sequence[UUID]], Awaitable[None]] | None = None,
        runtimes: RuntimeProvider | None = None,
    ) -> None:
        """`take_up` gets what is wanted, each round; a process that runs no turns gives neither.

        Such a process only wakes its listeners, and is none that operators look for.
        """
        self._process = process
        #: By the monotonic clock; None before the first one.
        self._noted_at: float | None = None
        self._take_up = take_up
        self._runtimes = runtimes
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None
        self._unremoved = Unremoved()
        self._pulses: dict[UUID, Pulse] = {}
        self._presence = Presence()
        self._heartbeat = time.monotonic()

    def start(self) -> None:
        """Begin, with a first round at once."""
        if self._runtimes is not None:
            self._presence.show()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a round under way is given up, the next process begins anew."""
        for task in (self._task, self._clearing):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._presence.hide()

    def seconds_since_heartbeat(self) -> float:
        """Give how long ago a round has ended, well or not."""
        return time.monotonic() - self._heartbeat

    def hurry(self) -> None:
        """Make the next round come at once."""
        self._hurry.set()

    async def _run(self) -> None:
        failing_since: float | None = None
        while True:
            self._hurry.clear()
            try:
                await self._round()
                if failing_since is not None:
                    log.info("sweep_works_again", after=round(time.monotonic() - failing_since, 1))
                    failing_since = None
                    failures_over()
            except DatabaseError as error:
                failing_since = failing_since or time.monotonic()
                failure_tell(log, "sweep_failed", error)
            except Exception:
                # Whatever it was: without the sweep nothing is ever taken over.
                log.exception("sweep_failed")
            self._heartbeat = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._hurry.wait()

    async def _round(self) -> None:
        if self._take_up is not None:
            await self._take_up(await in_db_thread(wanted_conversations, limit=BATCH))
        await self._poll()
        if self._runtimes is not None:
            # Aside: a large workspace takes a while to remove, and the next round must not wait.
            if self._clearing is None or self._clearing.done():
                self._clearing = asyncio.create_task(self._clear(self._runtimes))
            await self._note()

    async def _note(self) -> None:
        """Tell operators that this round is done; seldom, it is a write."""
        now = time.monotonic()
        if self._noted_at is None:
            await in_db_thread(sweep_begin, process=self._process)
        elif now - self._noted_at >= NOTE_SECONDS:
            await in_db_thread(sweep_run_note, process=self._process)
        else:
            return
        self._noted_at = now

    async def _poll(self) -> None:
        """Wake those whose conversation changed since the last round."""
        bus = get_bus()
        seen: dict[UUID, Pulse] = {}
        watched = bus.watched()
        warm = {UUID(hex=key) for key in self._runtimes.warm()} if self._runtimes else set()
        asked = list({*watched, *warm})
        for start in range(0, len(asked), BATCH):
            seen |= await in_db_thread(pulses, asked[start : start + BATCH])
        for conversation_id in watched:
            if self._pulses.get(conversation_id) != seen.get(conversation_id):
                bus.wake(conversation_id)
        self._pulses = seen
        if self._runtimes is not None:
            await self._close_left(self._runtimes, warm, seen)

    async def _close_left(
        self, runtimes: RuntimeProvider, warm: set[UUID], seen: dict[UUID, Pulse]
    ) -> None:
        """Close the sandboxes kept here whose conversation is gone, or is or was run elsewhere.

        What still runs in them would work on in the same files, unseen.
        """
        last_turns = runtimes.warm()
        for conversation_id in warm:
            last_turn = last_turns.get(conversation_id.hex)
            if last_turn is None:
                continue
            pulse = seen.get(conversation_id)
            if pulse is not None and not pulse.deleted:
                process = pulse.holder.partition("#")[0]
                if process == self._process or (not process and pulse.epoch <= last_turn):
                    continue
            # Looked at again: it may be in use here since.
            if conversation_id.hex in runtimes.warm():
                await runtimes.discard(conversation_id.hex)

    async def _clear(self, runtimes: RuntimeProvider) -> None:
        try:
            for conversation_id in await self._to_clear():
                await runtimes.discard(conversation_id.hex)
                if await asyncio.to_thread(workspace_clear, conversation_id):
                    await in_db_thread(tombstone_remove, conversation_id)
                    self._unremoved.forget(conversation_id)
                else:
                    self._unremoved.note(conversation_id)
        except DatabaseError as error:
            failure_tell(log, "clearing_failed", error)
        except Exception:
            log.exception("clearing_failed")

    async def _to_clear(self) -> list[UUID]:
        """Give what was deleted, and last one of those that could not be removed before.

        One a round: each may take minutes to fail, and what is deleted now must not wait for all.
        """
        known = self._unremoved.known()
        found = await in_db_thread(deleted_conversations, apart_from=known)
        due = self._unremoved.due()
        return [*found, due] if due else found
