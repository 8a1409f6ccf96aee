"""How long a conversation stands still when the process that ran it has died."""

from __future__ import annotations

import threading
import time
from typing import Final

from chaos.store import Store

_LEASES: Final = (
    "SELECT l.conversation_id, l.holder, c.epoch, l.requested - l.served "
    "FROM conversations_looplease l JOIN conversations_conversation c ON c.id = l.conversation_id "
    "WHERE l.holder <> '' OR l.requested > l.served"
)
_LOOK_SECONDS: Final = 0.05


class Recoveries:
    """Watches the leases from outside; the time runs from a kill to the next claim."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dead: dict[int, float] = {}
        self._waiting: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recoveries")
        #: Seconds, one for each conversation that a dead process had.
        self.seconds: list[float] = []

    def __enter__(self) -> Recoveries:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def died(self, pid: int) -> None:
        """Say that a process was killed now."""
        with self._lock:
            self._dead[pid] = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            rows = self._store.rows(_LEASES)
            if rows is not None:
                with self._lock:
                    self._look({str(row[0]): (str(row[1]), int(row[2])) for row in rows})

    def _look(self, leases: dict[str, tuple[str, int]]) -> None:
        now = time.monotonic()
        for one, (epoch, since) in list(self._waiting.items()):
            if one not in leases or leases[one][1] > epoch:
                self.seconds.append(now - since)
                del self._waiting[one]
        for one, (holder, epoch) in leases.items():
            # A holder is named by its host, its process and its epoch: a:1#2.
            pid = holder.partition("#")[0].rpartition(":")[2]
            died = self._dead.get(int(pid)) if pid.isdigit() else None
            if died is not None and one not in self._waiting:
                self._waiting[one] = (epoch, died)
