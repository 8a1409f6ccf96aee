"""The local runtime: bubblewrap on this machine. It knows actions, no conversation."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from conversations.events.actions import EditAction, ReadAction, RunAction, WriteAction
from conversations.events.base import Action, Observation
from conversations.events.observations import ErrorObservation, RunObservation
from conversations.exceptions import RuntimeUnavailableError
from conversations.runtime.bubblewrap import SANDBOX_UID, check_bubblewrap, drops_root
from conversations.runtime.files import do_file_action
from conversations.runtime.output import Result
from conversations.runtime.shell import Shell

_NEW_SHELL = (
    "[This is a new shell: the directory, variables and background jobs of the earlier one are "
    "gone; the files in /workspace are not.]"
)
_NO_INPUT = (
    "No command waits for input: each has ended or was interrupted. Run a command anew, with its "
    "input in the command line, a pipe or a file."
)
_STOPPED_BEFORE = "This command was not run: {why} before it began."
_STOPPED_IN_FILE = (
    "This was interrupted: {why}. The file may have been changed wholly, partly or not at all; "
    "look before you do it again."
)
_NO_NETWORK = (
    "SANDBOX_NETWORK is on, but sandboxes with a network are not available yet. Turn it off."
)


class LocalRuntime:
    """One conversation's sandbox."""

    def __init__(self, *, workspace: Path, command_timeout: float, shell_was_used: bool) -> None:
        self._workspace = workspace
        self._command_timeout = command_timeout
        self._announce_new_shell = shell_was_used
        self._shell: Shell | None = None
        self._running = asyncio.Lock()
        self._interrupted = ""
        self._files: asyncio.Future[Observation] | None = None

    async def execute(self, action: Action) -> Observation:
        """Carry out a run, read, edit or write action; failures are observations."""
        async with self._running:
            self._interrupted = ""
            if isinstance(action, RunAction):
                return await self._run(action)
            if isinstance(action, ReadAction | EditAction | WriteAction):
                return await self._file_action(action)
            return ErrorObservation(content=f"The sandbox has no way to do {action.kind!r}.")

    async def _file_action(self, action: ReadAction | EditAction | WriteAction) -> Observation:
        self._files = asyncio.ensure_future(do_file_action(self._workspace, action))
        try:
            return await self._files
        except asyncio.CancelledError:
            if not self._interrupted:
                self._files.cancel()
                raise
            return ErrorObservation(content=_STOPPED_IN_FILE.format(why=self._interrupted))
        finally:
            self._files = None

    async def _run(self, action: RunAction) -> Observation:
        if action.is_input:
            return ErrorObservation(content=_NO_INPUT)
        if self._shell is not None and not self._shell.is_alive:
            await self.close()
            self._announce_new_shell = True
        is_new = self._shell is None
        if self._shell is None:
            try:
                self._shell = await Shell.start(self._workspace)
            except OSError as error:
                return ErrorObservation(content=f"The sandbox could not be started: {error}")
        shell = self._shell
        if self._interrupted:
            return ErrorObservation(content=_STOPPED_BEFORE.format(why=self._interrupted))
        timeout = min(action.timeout or self._command_timeout, self._command_timeout)
        try:
            result = await shell.run(action.command, seconds=timeout)
        except asyncio.CancelledError:
            await self.close()
            self._announce_new_shell = True
            raise
        said_new = is_new and self._announce_new_shell
        if not result.shell_lives:
            await self.close()
            self._announce_new_shell = True
        return _observation(action, result, said_new=said_new)

    async def interrupt(self, why: str) -> None:
        """Make the action under way return; one that comes after is not interrupted."""
        self._interrupted = why
        if self._files is not None:
            self._files.cancel()
        if self._shell is not None and self._running.locked():
            self._shell.interrupt(why)

    async def close(self) -> None:
        """End the sandbox and every process in it."""
        shell, self._shell = self._shell, None
        if shell is not None:
            await shell.close()


def _observation(action: RunAction, result: Result, *, said_new: bool) -> RunObservation:
    parts = [_NEW_SHELL] if said_new else []
    if result.output:
        parts.append(result.output)
    if result.interrupted:
        parts.append(f"[The command was interrupted: {result.interrupted}.]")
    if not result.shell_lives:
        parts.append("[The shell has ended with this command; the next one gets a new shell.]")
    return RunObservation(
        content="\n".join(parts),
        command=action.command,
        exit_code=result.exit_code,
        working_dir=result.working_dir,
        hidden=action.hidden,
    )


def _open_to_sandbox(workspace: Path) -> None:
    """Let the sandbox's user in; a command may have closed the folder even to itself."""
    workspace.chmod(0o700)
    if drops_root():
        os.chown(workspace, SANDBOX_UID, SANDBOX_UID)


class LocalRuntimeProvider:
    """Keeps one runtime a conversation, warm for a while after its last turn."""

    def __init__(
        self, *, command_timeout: float = 120, close_delay: float = 900, network: bool = False
    ) -> None:
        self._command_timeout = command_timeout
        self._close_delay = close_delay
        self._network = network
        self._runtimes: dict[str, LocalRuntime] = {}
        self._closers: dict[str, asyncio.Task[None]] = {}
        #: Of the last turn that began here, for each runtime and each turn under way.
        self._epochs: dict[str, int] = {}
        self._closed = False

    def check(self) -> None:
        """Raise RuntimeUnavailableError where no sandbox can be started."""
        if self._network:
            raise RuntimeUnavailableError(_NO_NETWORK)
        check_bubblewrap()

    async def turn_begins(self, key: str, *, epoch: int) -> None:
        """Close a runtime that missed a turn elsewhere; another is not closed under the turn."""
        self._keep(key)
        if key in self._runtimes and self._epochs.get(key) != epoch - 1:
            await self.discard(key)
        self._epochs[key] = epoch

    async def acquire(self, *, key: str, workspace: Path, shell_was_used: bool) -> LocalRuntime:
        """Give the runtime of `key`, the warm one if there is one."""
        if self._closed:
            message = "The server is ending: no sandbox is started any more."
            raise RuntimeUnavailableError(message)
        self._keep(key)
        if key not in self._runtimes:
            _open_to_sandbox(workspace)
            self._runtimes[key] = LocalRuntime(
                workspace=workspace,
                command_timeout=self._command_timeout,
                shell_was_used=shell_was_used,
            )
        return self._runtimes[key]

    def _keep(self, key: str) -> None:
        closer = self._closers.pop(key, None)
        if closer is not None:
            closer.cancel()

    async def release(self, key: str) -> None:
        """Close the runtime after the delay, unless it is acquired again."""
        self._keep(key)
        if key not in self._runtimes:
            self._epochs.pop(key, None)
        elif not self._closed:
            self._closers[key] = asyncio.create_task(self._close_later(key))

    async def _close_later(self, key: str) -> None:
        await asyncio.sleep(self._close_delay)
        self._closers.pop(key, None)
        await self._close_runtime(key)

    async def _close_runtime(self, key: str) -> None:
        self._epochs.pop(key, None)
        runtime = self._runtimes.pop(key, None)
        if runtime is not None:
            await runtime.close()

    def warm(self) -> dict[str, int]:
        """Give the runtimes that wait for their close delay, each with its last turn's epoch."""
        return {key: self._epochs.get(key, 0) for key in self._closers}

    async def discard(self, key: str) -> None:
        """Close the runtime of `key` now."""
        self._keep(key)
        await self._close_runtime(key)

    async def close(self) -> None:
        """Close every runtime; afterwards none is handed out."""
        self._closed = True
        for key in list(self._runtimes):
            await self.discard(key)
