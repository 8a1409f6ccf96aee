"""The processes of a deployment: started, killed, frozen and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from chaos.store import free_port

ROOT = Path(__file__).parent.parent
#: Seconds. A drain ends before that.
_TERM_SECONDS = 60.0


class Member:
    """One process: a web process on a port of its own, or a worker."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.port = free_port() if name.startswith("web") else 0
        self._arguments = (
            ("serve", "--port", str(self.port)) if self.port else ("work", "--concurrency", "50")
        )
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.is_frozen = False
        #: Whether a blow falls on it: whoever strikes starts it again.
        self.is_hit = False

    @property
    def pid(self) -> int:
        """Give the id of its process, 0 where there is none."""
        return self._process.pid if self._process else 0

    @property
    def log_tail(self) -> str:
        """Give the last line that it wrote."""
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "")

    @property
    def is_alive(self) -> bool:
        """Whether it has a process that has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; nobody waits until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [sys.executable, "manage.py", *self._arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self.is_frozen = False

    def kill(self) -> None:
        """End it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> float:
        """End it as a deploy does; give how many seconds that took."""
        begun = time.monotonic()
        self._end(signal.SIGTERM)
        return time.monotonic() - begun

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        if self.is_frozen:
            self.thaw()
        process.send_signal(number)
        try:
            process.wait(_TERM_SECONDS)
        finally:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Stop it where it stands; its leases run out."""
        os.kill(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """Let it go on, beside whoever took over."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGCONT)
        self.is_frozen = False


class Fleet:
    """All processes of a deployment."""

    def __init__(
        self, data_dir: Path, environment: Mapping[str, str], *, web: int, workers: int
    ) -> None:
        self.data_dir = data_dir
        names = [f"web-{n}" for n in range(web)] + [f"worker-{n}" for n in range(workers)]
        self.members = [Member(name, environment, data_dir / f"{name}.log") for name in names]

    @property
    def runners(self) -> list[Member]:
        """Give the processes that run turns."""
        return [m for m in self.members if m.name.startswith("worker")] or self.members

    @property
    def ports(self) -> list[int]:
        """Give the ports of the web processes."""
        return [member.port for member in self.members if member.port]

    def start(self) -> None:
        """Start all."""
        for member in self.members:
            member.start()

    def stop(self) -> None:
        """End all, at once."""
        for member in self.members:
            member.kill()
