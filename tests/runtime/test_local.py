"""The local runtime on real bubblewrap, through its public interface."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conversations.events.actions import RunAction
from conversations.events.base import Action, Observation
from conversations.events.observations import (
    ErrorObservation,
    RunObservation,
)
from conversations.runtime.local import LocalRuntime, LocalRuntimeProvider
from tests.processes import processes_with
from tests.waiting import until, until_true

Execute = Callable[[Action], Awaitable[Observation]]
Run = Callable[..., Coroutine[Any, Any, RunObservation]]


async def test_a_command_gives_its_output_exit_code_and_directory(run: Run) -> None:
    observation = await run("echo one; echo two >&2; exit_code() { return 7; }; exit_code")
    assert (observation.content, observation.exit_code) == ("one\ntwo", 7)
    assert observation.working_dir == "/workspace"


async def test_directory_variables_functions_and_jobs_last(run: Run) -> None:
    await run("cd /tmp; export A=1; B=2; f() { echo f; }; sleep 100 &")
    observation = await run("pwd; echo $A $B; f; jobs | grep -c sleep")
    assert observation.content.split() == ["/tmp", "1", "2", "f", "1"]  # noqa: S108  # inside


@pytest.mark.parametrize(
    ("command", "content", "exit_code"),
    [
        ("cat <<'EOF'\na $B\nEOF", "a $B", 0),
        ("if true\nthen\n  echo yes\nfi", "yes", 0),
        ("printf 'no newline'", "no newline", 0),
        ("cat", "", 0),
        ("printf '\\xff'; echo ü", "\N{REPLACEMENT CHARACTER}ü", 0),
        ("echo " + "x" * 20_000 + " | wc -c", "20001", 0),
        ("", "", 0),
        ("# only a comment", "", 0),
    ],
)
async def test_what_a_shell_understands_works(
    run: Run, command: str, content: str, exit_code: int
) -> None:
    observation = await run(command)
    assert (observation.content, observation.exit_code) == (content, exit_code)


async def test_a_syntax_error_is_said_and_the_shell_lives(run: Run) -> None:
    await run("A=1")
    assert (await run("if then")).exit_code == 2
    assert (await run("echo $A")).content == "1"


async def test_long_output_keeps_both_ends_and_says_what_is_missing(run: Run) -> None:
    observation = await run("echo begin; yes | head -c 3000000; echo end")
    assert observation.content.startswith("begin\ny")
    assert observation.content.endswith("y\nend")
    assert "characters left out" in observation.content
    assert len(observation.content) < 31_000


async def test_exit_ends_the_shell_and_the_next_one_says_that_it_is_new(run: Run) -> None:
    observation = await run("echo bye; exit 3")
    assert observation.exit_code == 3
    assert observation.content.startswith("bye\n")
    observation = await run("echo hello")
    assert observation.content.startswith("[This is a new shell")
    assert observation.content.endswith("hello")
    assert (await run("echo again")).content == "again"


async def test_a_command_that_prints_marks_does_not_end_early(run: Run) -> None:
    tricks = "printf '0\\0/tmp\\0'; printf '0\\0/tmp\\0' >&9; echo end; false"
    observation = await run(tricks)
    assert observation.exit_code == 1
    assert observation.content.endswith("end")
    assert observation.working_dir == "/workspace"


async def test_a_workspace_that_was_closed_is_opened_again(
    provider: LocalRuntimeProvider, workspace: Path, run: Run
) -> None:
    await run("chmod 000 /workspace")
    await provider.discard("k")
    again = await provider.acquire(key="k", workspace=workspace, shell_was_used=True)
    observation = await again.execute(RunAction(command="touch x && echo ok"))
    assert isinstance(observation, RunObservation)
    assert observation.exit_code == 0


async def test_memory_that_is_not_limited_cannot_be_written(run: Run) -> None:
    observation = await run(
        "for f in /x /etc/x /dev/x; do touch $f 2>&1 | grep -c 'Read-only'; done; "
        "echo y > /dev/shm/y && cat /dev/shm/y; getent hosts localhost | wc -l"
    )
    assert observation.content.split() == ["1", "1", "1", "y", "1"]


async def test_a_shell_that_died_between_two_commands_is_replaced(run: Run) -> None:
    await run("(sleep 0.2; kill -9 $$) &")
    await asyncio.sleep(0.6)
    observation = await run("echo ok")
    assert observation.content.startswith("[This is a new shell")
    assert observation.content.endswith("ok")


async def test_input_is_refused_with_advice(runtime: LocalRuntime) -> None:
    observation = await runtime.execute(RunAction(command="y", is_input=True))
    assert isinstance(observation, ErrorObservation)
    assert "No command waits for input" in observation.content


async def test_nothing_of_the_host_is_to_be_seen(run: Run) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        observation = await run(
            f"env | grep -c HANDRAIL_MARKER; (echo > /dev/tcp/127.0.0.1/{port}) 2>&1 | wc -l;"
            "ls /root /home /etc/shadow /var 2>&1 | grep -vc 'No such file'; touch /usr/x 2>&1;"
            "grep CapEff /proc/self/status; ls /proc | grep -c '^[0-9]'; id -u"
        )
    lines = observation.content.splitlines()
    assert lines[0] == "0"
    assert lines[1] != "0"
    assert lines[2] == "0"
    assert "Read-only" in lines[3]
    assert lines[4].split()[1] == "0000000000000000"
    assert int(lines[5]) < 10
    assert lines[6] == "1000"


@pytest.fixture(autouse=True)
def _marker_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_MARKER", "must-not-be-seen")


async def test_too_many_processes_are_refused_and_a_new_shell_works(
    runtime: LocalRuntime, run: Run
) -> None:
    observation = await run("for i in $(seq 600); do sleep 50 & done", timeout=5)
    assert "Resource temporarily unavailable" in observation.content
    await runtime.close()
    assert (await run("echo ok")).content.endswith("ok")


async def test_the_workspace_outlives_the_shell(
    provider: LocalRuntimeProvider, workspace: Path, run: Run
) -> None:
    await run("echo kept > file; A=1")
    await provider.discard("k")
    runtime = await provider.acquire(key="k", workspace=workspace, shell_was_used=True)
    observation = await runtime.execute(RunAction(command="cat file; echo [$A]"))
    assert observation.content.startswith("[This is a new shell")
    assert observation.content.endswith("kept\n[]")
    assert (workspace / "file").read_text() == "kept\n"


async def test_a_warm_runtime_is_given_again_and_a_cold_one_is_closed(workspace: Path) -> None:
    provider = LocalRuntimeProvider(close_delay=0.2)
    first = await provider.acquire(key="k", workspace=workspace, shell_was_used=False)
    await first.execute(RunAction(command="sleep 87654 &"))
    await provider.release("k")
    assert await provider.acquire(key="k", workspace=workspace, shell_was_used=True) is first
    await until(lambda: bool(processes_with("sleep 87654")))
    await provider.release("k")
    await until(lambda: not processes_with("sleep 87654"))
    await provider.close()


async def test_a_warm_runtime_is_not_closed_under_a_turn_that_thinks(workspace: Path) -> None:
    provider = LocalRuntimeProvider(close_delay=0.2)
    kept = {}
    for key in ("k", "unused"):
        await provider.turn_begins(key, epoch=1)
        kept[key] = await provider.acquire(key=key, workspace=workspace, shell_was_used=False)
        await provider.release(key)
    await provider.turn_begins("k", epoch=2)
    assert set(provider.warm()) == {"unused"}
    await until(lambda: not provider.warm())
    acquired = await provider.acquire(key="k", workspace=workspace, shell_was_used=True)
    assert acquired is kept["k"]
    await provider.release("k")
    assert provider.warm() == {"k": 2}
    await provider.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_leaks_over_many_sandboxes(workspace: Path) -> None:
    provider = LocalRuntimeProvider()

    async def once() -> None:
        runtime = await provider.acquire(key="k", workspace=workspace, shell_was_used=False)
        await runtime.execute(RunAction(command="echo"))
        await provider.discard("k")

    await once()
    before = open_files()
    for _ in range(20):
        await once()
    assert open_files() == before
    await provider.close()


_CHILD = """
import asyncio, sys
from pathlib import Path
from conversations.events.actions import RunAction
from conversations.runtime.local import LocalRuntimeProvider
async def main():
    runtime = await LocalRuntimeProvider().acquire(
        key="k", workspace=Path(sys.argv[1]), shell_was_used=False)
    await runtime.execute(RunAction(command="sleep 76543 & sleep 76543"))
asyncio.run(main())
"""


def test_a_server_killed_with_9_leaves_no_process_behind(workspace: Path) -> None:
    child = subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-c", _CHILD, str(workspace)], cwd=Path(__file__).parent.parent.parent
    )
    until_true(lambda: len(processes_with("sleep 76543")) == 2)
    child.kill()
    child.wait()
    until_true(lambda: not processes_with("sleep 76543"))
