"""Processes that answer on loopback: started, looked at from outside, ended. No load from here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.databases import ROOT
from benchmarks.load import Request, fetch
from benchmarks.watched_server import COUNT

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
#: CPU seconds a second below which a server rests.
_RESTING = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a server takes at one moment."""

    megabytes: float
    threads: int
    tasks: int


class Process:
    """A server of ours in a process of its own."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; `{port}` in its arguments is a free port."""
        self.port = _free_port()
        self.data_dir = Path(environment["DATA_DIR"])
        self._log = self.data_dir / f"server-{self.port}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [sys.executable, *(one.format(port=self.port) for one in arguments)],
                cwd=ROOT,
                env=dict(environment),
                stdout=log,
                stderr=log,
            )

    def wait_until_up(self) -> None:
        """Return when it answers. Raises RuntimeError with its log where it does not."""
        end = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < end:
            try:
                fetch(self.port, Request("GET", "/health"))
            except OSError:
                time.sleep(_POLL_SECONDS)
            else:
                return
        self.stop()
        raise RuntimeError(self._log.read_text())

    def wait_until_at_rest(self, seconds: float) -> None:
        """Return when it takes no CPU to speak of, or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = self.cpu_seconds()
            time.sleep(1)
            if self.cpu_seconds() - before < _RESTING:
                return

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def footprint(self, *, looks: int) -> Footprint:
        """Give memory, threads and asyncio tasks (of `benchmarks.watched_server` only).

        The lowest of so many looks counts: what is done each second comes and goes.
        """
        seen = [self._look() for _ in range(looks)]
        return Footprint(*(min(values) for values in zip(*seen, strict=True)))

    def _look(self) -> tuple[float, int, int]:
        time.sleep(_POLL_SECONDS * 2)
        lines = (self._proc / "status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        megabytes = int(status["VmRSS"].split()[0]) / 1024
        return megabytes, int(status["Threads"]), self._tasks()

    def _tasks(self) -> int:
        place = self.data_dir / COUNT
        place.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + _START_SECONDS
        while not place.exists() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        return int(place.read_text())

    @property
    def _proc(self) -> Path:
        return Path("/proc") / str(self._process.pid)

    def cpu_seconds(self) -> float:
        """Give the CPU time that it has taken so far."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
