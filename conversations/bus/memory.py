"""The bus of one process: an asyncio event a listener. What other processes do, the poll finds."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from uuid import UUID

from conversations.bus.base import Call


class MemorySubscription:
    """Remembers that a wake-up came, until it is waited for."""

    def __init__(self, bus: MemoryBus, conversation_id: UUID) -> None:
        self._bus = bus
        self._conversation_id = conversation_id
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    async def wait(self) -> None:
        """Return when a wake-up came since the last return."""
        await self._woken.wait()
        self._woken.clear()

    def wake(self) -> None:
        """Wake the listener, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Listen no more."""
        self._bus.remove(self._conversation_id, self)


class MemoryBus:
    """Wakes the listeners of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[UUID, set[MemorySubscription]] = defaultdict(set)

    async def start(self) -> None:
        """Hear nobody else: there is nothing to start."""

    async def stop(self) -> None:
        """Hold nothing."""

    def publish(self, conversation_id: UUID) -> None:
        """Wake every listener of a conversation, as far as they are in this process."""
        self.wake(conversation_id)

    def call(self, conversation_id: UUID) -> Call | None:
        """Give none: nobody else is told."""
        return None

    def wake(self, conversation_id: UUID) -> None:
        """Wake every listener of a conversation in this process."""
        with self._lock:
            listeners = list(self._listeners.get(conversation_id, ()))
        for listener in listeners:
            listener.wake()

    def subscribe(self, conversation_id: UUID) -> MemorySubscription:
        """Listen from now on."""
        subscription = MemorySubscription(self, conversation_id)
        with self._lock:
            self._listeners[conversation_id].add(subscription)
        return subscription

    def remove(self, conversation_id: UUID, subscription: MemorySubscription) -> None:
        """Forget a listener."""
        with self._lock:
            listeners = self._listeners.get(conversation_id, set())
            listeners.discard(subscription)
            if not listeners:
                self._listeners.pop(conversation_id, None)

    def watched(self) -> list[UUID]:
        """Give the conversations that somebody listens to."""
        with self._lock:
            return list(self._listeners)
