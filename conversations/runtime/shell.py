"""One lasting bash in a sandbox, on a terminal of its own. It knows commands, not actions.

A command goes in by one pipe; that it was read, its exit code and the directory come out by
another; the terminal carries what is printed, closed by a mark that is new for each command. So no
command has to fit a terminal's line, and none can pretend by printing that it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import subprocess
import termios
from pathlib import Path

from conversations.runtime.output import Output, Result
from conversations.runtime.spawn import Spawned, spawn_bash

#: Seconds that an interrupted command gets before the shell is killed with it.
GRACE = 0.4
#: Seconds for a new shell to be ready.
START_SECONDS = 20.0
#: Seconds for a killed sandbox to be gone.
REAP_SECONDS = 5.0
#: Bytes that bash may say of one command beside its output; more is not of our making.
MAX_ANSWER = 1 << 16
#: Bytes of one command's output after which reading pauses, in seconds, between two reads.
FLOOD_BYTES, FLOOD_PAUSE = 1 << 20, 0.005
_READ = 1 << 16
_TYPED = b" __handrail_run\n"
# Typed after Ctrl-C, which makes bash give up the line before.
_TYPED_AFTER_INTERRUPT = b'\x03\n __handrail_done "$?"\n'
#: An answer: the mark (the command was read), then the mark, the exit code and the directory.
_READ_FIELDS, _DONE_FIELDS = 1, 4


class Shell:
    """A running bash. `start` makes one; one command at a time."""

    def __init__(self, spawned: Spawned) -> None:
        self._process = spawned.process
        self._init_pid = spawned.init_pid
        self._terminal = spawned.terminal
        self._commands = spawned.commands
        self._results = spawned.results
        self._flags = termios.tcgetattr(self._terminal)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._interrupt = asyncio.Event()
        self._why = ""
        self._output = Output()
        self._mark = b""
        self._seen = b""
        self._mark_seen = False
        self._ended = False
        self._listening = False
        self._answer = b""
        self._to_send = b""
        self.working_dir = ""
        for descriptor in (self._terminal, self._results, self._commands):
            os.set_blocking(descriptor, False)

    @classmethod
    async def start(cls, workspace: Path) -> Shell:
        """Start bash in a new sandbox. Raises OSError when it does not come up."""
        shell = cls(spawn_bash(workspace))
        try:
            ready = await shell.run("", seconds=START_SECONDS)
        except asyncio.CancelledError:
            await shell.close()
            raise
        if not ready.shell_lives:
            await shell.close()
            message = f"the sandbox's shell did not start: {ready.output.strip()[-500:]}"
            raise OSError(message)
        return shell

    @property
    def is_alive(self) -> bool:
        """Whether the sandbox still runs: a background job may have ended it."""
        return self._process.poll() is None

    # -- what comes out --------------------------------------------------------------------------

    def _listen(self) -> None:
        """Read while a command runs, and only then: a flood in between waits in the terminal."""
        self._listening = True
        self._loop.add_reader(self._terminal, self._read_terminal)
        self._loop.add_reader(self._results, self._read_results)
        self._loop.add_writer(self._commands, self._write_command)

    def _stop_listening(self) -> None:
        self._listening = False
        if self._terminal < 0:
            return
        self._loop.remove_reader(self._terminal)
        self._loop.remove_reader(self._results)
        self._loop.remove_writer(self._commands)

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
        if data and self._output.received > FLOOD_BYTES:
            # A command that prints without end must not keep this process busy.
            self._loop.remove_reader(self._terminal)
            self._loop.call_later(FLOOD_PAUSE, self._listen_again)

    def _listen_again(self) -> None:
        if self._listening and not self._ended:
            self._loop.add_reader(self._terminal, self._read_terminal)

    def _take(self, data: bytes) -> None:
        """Pass output on up to the mark, which may come in pieces."""
        if self._mark_seen:
            return
        seen = self._seen + data
        if self._mark in seen:
            seen, self._mark_seen = seen.split(self._mark, 1)[0], True
            self._output.feed(seen)
            return
        keep = 0 if self._ended else min(len(seen), len(self._mark) - 1)
        self._output.feed(seen[: len(seen) - keep])
        self._seen = seen[len(seen) - keep :]

    def _read_results(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._results, _READ)
            if not data:
                # The shell ends; what it printed may still be on its way, and tells of the end.
                self._loop.remove_reader(self._results)
            self._answer += data
            if len(self._answer) > MAX_ANSWER:
                self.kill()
            self._changed.set()

    def _write_command(self) -> None:
        try:
            self._to_send = self._to_send[os.write(self._commands, self._to_send) :]
        except BlockingIOError:
            return
        except OSError:  # the shell is gone: its end is told by the terminal
            self._to_send = b""
        if not self._to_send:
            self._loop.remove_writer(self._commands)

    def _fields(self) -> list[bytes]:
        """Give what bash said of this command; what was said of another counts for nothing."""
        start = self._answer.find(self._mark[1:] + b"\0")
        return self._answer[start:].split(b"\0")[:-1] if start >= 0 else []

    def _is_done(self) -> bool:
        return self._ended or (self._mark_seen and len(self._fields()) >= _DONE_FIELDS)

    # -- one command -----------------------------------------------------------------------------

    async def run(self, command: str, *, seconds: float) -> Result:
        """Run a command to its end, or for so many seconds, or until it is interrupted.

        Cancelled, it leaves no running command behind.
        """
        self._output, self._answer, self._seen = Output(), b"", b""
        self._mark_seen, self._why = False, ""
        self._interrupt.clear()
        mark = secrets.token_hex(16).encode()
        self._mark = b"\n" + mark
        # bash strings hold no NUL, and it is what ends a command here.
        text = command.replace("\0", "").encode(errors="replace")
        self._to_send = mark + b"\0" + text + b"\0"
        self._listen()
        try:
            self._type(_TYPED)
            await self._until_done(seconds)
            if not self._is_done():
                self._why = self._why or f"it ran for more than {seconds:g} seconds"
                await self._end_command()
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self._stop_listening()
        return self._result()

    def _type(self, text: bytes) -> None:
        # The shell is gone: its end is told by the terminal.
        with contextlib.suppress(OSError, termios.error):
            # A command before may have changed how the terminal behaves.
            termios.tcsetattr(self._terminal, termios.TCSANOW, self._flags)
            os.write(self._terminal, text)

    async def _until_done(self, seconds: float) -> None:
        """Wait for the end of the command, for an interrupt, or for so many seconds."""
        interrupted = asyncio.ensure_future(self._interrupt.wait())
        try:
            async with asyncio.timeout(seconds):
                while not self._is_done() and not interrupted.done():
                    self._changed.clear()
                    changed = asyncio.ensure_future(self._changed.wait())
                    try:
                        await asyncio.wait(
                            {changed, interrupted}, return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        changed.cancel()
        except TimeoutError:
            return
        finally:
            interrupted.cancel()

    async def _end_command(self) -> None:
        """End the command by Ctrl-C, or by killing the shell.

        Killing only what runs in the foreground would let bash go on with the rest of the line; and
        a command that bash has not read yet would be what it reads next.
        """
        self._interrupt.clear()
        if len(self._fields()) >= _READ_FIELDS:
            self._type(_TYPED_AFTER_INTERRUPT)
            await self._until_done(GRACE)
        if not self._is_done():
            self.kill()
            await self._until_done(GRACE)

    def _result(self) -> Result:
        text = self._output.text().replace("\r\n", "\n").rstrip("\n")
        fields = self._fields()
        if self._is_done() and not self._ended and fields[2].isdigit():
            self.working_dir = fields[3].decode(errors="replace")
            return self._result_of(text, int(fields[2]))
        self.kill()
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
        """End the command that runs; `run` returns soon after. A second call changes nothing."""
        if not self._why:
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
        self._stop_listening()
        self.kill()
        # Whoever still waits for a command learns that it has ended.
        self._ended = True
        self._changed.set()
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
