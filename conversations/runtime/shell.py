"""One lasting bash in a sandbox, on a terminal of its own. It knows commands, not actions.

Commands go in by one pipe and their exit codes come out by another; what they print comes by the
terminal, closed by a mark that is new for each. So no command has to fit a terminal's line, and
none can pretend by printing that it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from conversations.runtime.output import Output
from conversations.runtime.spawn import spawn_bash

#: Seconds that an interrupted command gets before it is killed, and then the shell.
GRACE = 0.3
#: Seconds for a new shell to be ready.
START_SECONDS = 20.0
#: Seconds for a killed sandbox to be gone.
REAP_SECONDS = 5.0
_READ = 1 << 16
_TYPED = " __handrail_run\n __handrail_done $? {mark}\n"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command. `exit_code` is -1 when the shell died without one."""

    output: str
    exit_code: int
    working_dir: str
    #: False when the command took the shell with it.
    shell_lives: bool
    #: Why it was interrupted; empty when it ended by itself.
    interrupted: str = ""


class Shell:
    """A running bash. `start` makes one; one command at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        init_pid: int,
        terminal: int,
        commands: int,
        results: int,
    ) -> None:
        self._process = process
        self._init_pid = init_pid
        self._terminal = terminal
        self._commands = commands
        self._results = results
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._interrupt = asyncio.Event()
        self._why = ""
        self._output = Output()
        self._mark = b""
        self._seen = b""
        self._mark_seen = False
        self._ended = False
        self._answer = b""
        self.working_dir = ""
        for descriptor in (terminal, results):
            os.set_blocking(descriptor, False)
        self._loop.add_reader(terminal, self._read_terminal)
        self._loop.add_reader(results, self._read_results)

    @classmethod
    async def start(cls, workspace: Path) -> Shell:
        """Start bash in a new sandbox. Raises OSError when it does not come up."""
        shell = cls(*spawn_bash(workspace))
        ready = await shell.run("", seconds=START_SECONDS)
        if not ready.shell_lives:
            await shell.close()
            message = f"the sandbox's shell did not start: {ready.output.strip()[-500:]}"
            raise OSError(message)
        return shell

    # -- what comes out --------------------------------------------------------------------------

    def _read_terminal(self) -> None:
        try:
            data = os.read(self._terminal, _READ)
        except BlockingIOError:
            return
        except OSError as error:
            # EIO is how a terminal says that nobody holds its other end any more.
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self._loop.remove_reader(self._terminal)
            self._ended = True
        self._take(data)
        self._changed.set()

    def _take(self, data: bytes) -> None:
        """Pass output on up to the mark, which may come in pieces."""
        seen = self._seen + data
        if self._mark and self._mark in seen:
            seen, self._mark_seen = seen.split(self._mark, 1)[0], True
            self._output.feed(seen)
            self._seen = b""
            return
        keep = 0 if self._ended else min(len(seen), max(len(self._mark) - 1, 0))
        self._output.feed(seen[: len(seen) - keep])
        self._seen = seen[len(seen) - keep :]

    def _read_results(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._results, _READ)
            if not data:
                # The shell ends; what it printed may still be on its way, and tells of the end.
                self._loop.remove_reader(self._results)
            self._answer += data
            self._changed.set()

    # -- one command -----------------------------------------------------------------------------

    async def run(self, command: str, *, seconds: float) -> Result:
        """Run a command to its end, or for so many seconds, or until it is interrupted.

        Cancelled, it leaves no running command behind.
        """
        self._output, self._answer, self._seen = Output(), b"", b""
        self._mark_seen, self._why = False, ""
        self._interrupt.clear()
        mark = secrets.token_hex(16)
        self._mark = f"\n{mark}".encode()
        sending = asyncio.ensure_future(self._send(command, mark))
        try:
            await self._until_done(seconds)
            if not self._is_done():
                self._why = self._why or f"it ran for more than {seconds:g} seconds"
                await self._end_command()
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            sending.cancel()
            self._mark = b""
        return self._result()

    async def _send(self, command: str, mark: str) -> None:
        # bash strings hold no NUL, and it is what ends a command here.
        data = command.replace("\0", "").encode(errors="replace") + b"\0"
        with contextlib.suppress(OSError):  # the shell is gone: its end is told by the terminal
            os.write(self._terminal, _TYPED.format(mark=mark).encode())
            await asyncio.to_thread(_write_all, self._commands, data)

    def _is_done(self) -> bool:
        return self._ended or (self._mark_seen and self._answer.count(b"\0") >= 2)  # noqa: PLR2004

    async def _until_done(self, seconds: float) -> None:
        """Wait for the end of the command, for an interrupt, or for so many seconds."""
        interrupted = asyncio.ensure_future(self._interrupt.wait())
        try:
            async with asyncio.timeout(seconds):
                while not self._is_done() and not interrupted.done():
                    self._changed.clear()
                    changed = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait({changed, interrupted}, return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
        except TimeoutError:
            return
        finally:
            interrupted.cancel()

    async def _end_command(self) -> None:
        """End the command: Ctrl-C, then kill what is in the foreground, then the shell."""
        self._interrupt.clear()
        with contextlib.suppress(OSError):
            os.write(self._terminal, b"\x03")
        await self._until_done(GRACE)
        if not self._is_done():
            self._kill_foreground()
            await self._until_done(GRACE)
        if not self._is_done():
            self.kill()
            await self._until_done(GRACE)

    def _kill_foreground(self) -> None:
        with contextlib.suppress(OSError):
            group = os.tcgetpgrp(self._terminal)
            if group > 1 and group != os.getpgrp():
                os.killpg(group, signal.SIGKILL)

    def _result(self) -> Result:
        text = self._output.text().replace("\r\n", "\n").rstrip("\n")
        fields = self._answer.split(b"\0")
        if self._is_done() and not self._ended:
            self.working_dir = fields[1].decode(errors="replace")
            return self._result_of(text, int(fields[0]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        code = self._process.poll()
        exit_code = code if code is not None and code >= 0 and not self._why else -1
        return self._result_of(text, exit_code, shell_lives=False)

    def _result_of(self, text: str, exit_code: int, *, shell_lives: bool = True) -> Result:
        return Result(
            output=text,
            exit_code=exit_code,
            working_dir=self.working_dir,
            shell_lives=shell_lives,
            interrupted=self._why,
        )

    def interrupt(self, why: str) -> None:
        """End the command that runs; `run` returns soon after."""
        self._why = why
        self._interrupt.set()

    # -- the end ---------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the sandbox with everything in it.

        Its first process goes, and all others with it; bubblewrap outside sees that and ends.
        """
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init_pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill the sandbox and give back what it held. Idempotent."""
        if self._terminal < 0:
            return
        for descriptor in (self._terminal, self._results):
            self._loop.remove_reader(descriptor)
        self.kill()
        for descriptor in (self._terminal, self._results, self._commands):
            os.close(descriptor)
        self._terminal = self._results = self._commands = -1
        await asyncio.to_thread(_reap, self._process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
