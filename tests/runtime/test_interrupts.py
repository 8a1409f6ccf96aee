"""Commands that are interrupted, that mistreat their shell, or lose it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conversations.events.base import Action, Observation
from conversations.events.observations import (
    RunObservation,
)
from conversations.runtime.local import LocalRuntime
from tests.processes import processes_with
from tests.waiting import until

Execute = Callable[[Action], Awaitable[Observation]]
Run = Callable[..., Coroutine[Any, Any, RunObservation]]


async def test_a_command_that_runs_too_long_is_interrupted_and_the_shell_lives(run: Run) -> None:
    await run("A=1")
    observation = await run("echo begun; sleep 100; echo never", timeout=0.3)
    assert observation.exit_code == 130
    assert observation.content.startswith("begun\n[The command was interrupted")
    assert (await run("echo $A")).content == "1"


@pytest.mark.parametrize(
    "command", ["while :; do :; done", "while :; do sleep 0.1; done; echo never"]
)
async def test_a_loop_is_interrupted_as_a_whole(run: Run, command: str) -> None:
    observation = await run(command, timeout=0.3)
    assert observation.exit_code == 130
    assert "never" not in observation.content
    assert (await run("echo ok")).content == "ok"


async def test_a_command_that_ignores_the_interrupt_is_killed(run: Run) -> None:
    await run("A=1")
    observation = await run("bash -c \"trap '' INT TERM; sleep 50; sleep 50\"", timeout=0.3)
    assert "was interrupted" in observation.content
    assert (await run("echo [$A]")).content.endswith("[]"), "the shell had to go with it"


async def test_an_interrupt_ends_the_command_at_once(
    runtime: LocalRuntime, run: Run, workspace: Path
) -> None:
    running = asyncio.create_task(run("touch begun; sleep 100"))
    await until(lambda: (workspace / "begun").exists())
    await runtime.interrupt("the agent was stopped")
    async with asyncio.timeout(5):
        observation = await running
    assert "the agent was stopped" in observation.content
    assert (await run("echo ok")).content == "ok"


async def test_a_cancelled_command_leaves_nothing_running(
    runtime: LocalRuntime, run: Run, workspace: Path
) -> None:
    running = asyncio.create_task(run("touch begun; sleep 98765"))
    await until(lambda: (workspace / "begun").exists())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not processes_with("sleep 98765"))
    assert "This is a new shell" in (await run("echo ok")).content


@pytest.mark.parametrize(
    "trick",
    [
        "exec > log 2>&1",
        "printf() { :; }; eval() { :; }; read() { :; }",
        "IFS=0123456789",
        "set -ex",
        "PS1='(venv) '; PS2='> '",
        "stty sane echo onlcr olcuc",
        "yes & sleep 0.2",
        "unset PWD HOME PATH",
        "builtin printf 'x\0y\0z\0' >&12",
        "LC_ALL=C; LANG=tlh",
        "alias echo=false; shopt -s expand_aliases",
    ],
)
async def test_a_shell_that_was_mistreated_still_reports(run: Run, trick: str) -> None:
    tricked = await run(trick)
    observation = await run("builtin echo ok > /workspace/ok; (exit 7)")
    assert observation.exit_code == 7
    again = await run("/bin/cat /workspace/ok")
    assert again.exit_code == 0
    # Had the end of one not been reported, it would have run into its timeout.
    for each in (tricked, observation, again):
        assert "was interrupted" not in each.content


async def test_a_reader_of_the_terminal_gets_nothing_of_ours(run: Run) -> None:
    observation = await run("read x < /dev/tty; builtin echo never", timeout=0.5)
    assert "handrail" not in observation.content
    assert observation.exit_code == 130
    assert (await run("echo ok")).content == "ok"


async def test_what_was_interrupted_at_any_moment_is_never_carried_out_later(
    runtime: LocalRuntime, run: Run, workspace: Path
) -> None:
    await run("true")
    for number in range(40):
        long = "#" * (300_000 if number % 4 == 0 else 10)
        command = f"touch begun-{number}; sleep 5; touch stale-{number} {long}"
        running = asyncio.create_task(run(command))
        await asyncio.sleep(number * 0.0005)
        await runtime.interrupt("the agent was stopped")
        async with asyncio.timeout(5):
            await running
        observation = await run(f"echo fresh-{number}")
        assert observation.content.splitlines()[-1] == f"fresh-{number}"
    assert "stale" not in (await run("ls")).content


async def test_a_runtime_that_is_closed_during_a_command_says_so(
    runtime: LocalRuntime, run: Run, workspace: Path
) -> None:
    running = asyncio.create_task(run("touch begun; sleep 50"))
    await until(lambda: (workspace / "begun").exists())
    await runtime.close()
    async with asyncio.timeout(5):
        assert (await running).exit_code == -1
    assert (await run("echo ok")).content.endswith("ok")


async def test_a_server_that_ignores_ctrl_c_starts_shells_that_do_not(workspace: Path) -> None:
    """As one does that a script has started in the background."""
    ignoring = ["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*ignoring, sys.executable, "-c", _INTERRUPTED, str(workspace)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["130", "ok"], done.stderr


_INTERRUPTED = """
import asyncio, sys
from pathlib import Path
from conversations.events.actions import RunAction
from conversations.runtime.local import LocalRuntimeProvider
async def main():
    provider = LocalRuntimeProvider()
    runtime = await provider.acquire(key="k", workspace=Path(sys.argv[1]), shell_was_used=False)
    print((await runtime.execute(RunAction(command="sleep 50", timeout=0.3))).exit_code)
    print((await runtime.execute(RunAction(command="echo ok"))).content)
    await provider.close()
asyncio.run(main())
"""
