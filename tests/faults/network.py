"""A stretch of network that a test can hold up or cut: a TCP proxy on loopback."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

_CHUNK = 65536
_POLL_SECONDS = 0.05


class Network:
    """Forwards a port of its own to another one, on threads."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = int(self._listener.getsockname()[1])
        self._flows = threading.Event()
        self._flows.set()
        self._ended = threading.Event()
        self._to_lose: tuple[bytes, bytes] | None = None
        #: Set when the reply that was to be lost is lost.
        self.has_lost = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut all, for good."""
        self._ended.set()
        self._flows.set()
        self._listener.close()

    def lose_reply(self, row: bytes, end: bytes) -> None:
        """Cut the connection that has replied with `row`, before the `end` of that reply passes."""
        self._to_lose = (row, end)

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Let nothing through for a while; connections stay open, and new ones are taken."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            self._flows.wait()
            with socket.create_connection(("127.0.0.1", self._target)) as far:
                self._forward(near, far)

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        has_row = False
        while not self._ended.is_set():
            readable, _, _ = select.select([near, far], [], [], _POLL_SECONDS)
            self._flows.wait()
            for side, other in ((near, far), (far, near)):
                if side in readable:
                    data = side.recv(_CHUNK)
                    if not data:
                        return
                    if side is far and self._to_lose is not None:
                        row, end = self._to_lose
                        has_row = has_row or row in data
                        if has_row and end in data:
                            self._to_lose = None
                            self.has_lost.set()
                            return
                    other.sendall(data)
