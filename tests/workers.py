"""Real worker processes beside a real server: started, killed, told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.databases import ROOT
from tests.serving import Server
from tests.waiting import until_true


class Worker:
    """`manage.py work` on a server's database and data directory."""

    def __init__(self, server: Server, *arguments: str, **environment: str) -> None:
        self._arguments = arguments
        self._environment = {**server.environment, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path(server.data_dir) / f"test-worker-{id(self)}.log"

    @property
    def log(self) -> str:
        """Give what it wrote so far."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Give its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start; what is enqueued waits until it works."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [sys.executable, "manage.py", "work", "--concurrency", "4", *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, *, seconds: float = 30) -> int:
        """Wait for its end; give the exit code."""
        process = self._process
        assert process is not None
        until_true(lambda: process.poll() is not None, seconds=seconds)
        return int(process.returncode)

    def stop(self) -> int:
        """End it as an operator does, if it runs; give the exit code."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it with -9, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
