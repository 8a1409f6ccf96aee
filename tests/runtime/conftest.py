"""A sandbox for each test, on real bubblewrap."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from conversations.events.actions import RunAction
from conversations.events.base import Action, Observation
from conversations.events.observations import (
    RunObservation,
)
from conversations.runtime.local import LocalRuntime, LocalRuntimeProvider

Execute = Callable[[Action], Awaitable[Observation]]
Run = Callable[..., Coroutine[Any, Any, RunObservation]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    # pytest's folders are 0700 and root's own, as a DATA_DIR below /root is.
    folder = tmp_path / "workspace"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
async def provider() -> AsyncIterator[LocalRuntimeProvider]:
    made = LocalRuntimeProvider(command_timeout=20)
    yield made
    await made.close()


@pytest.fixture
async def runtime(provider: LocalRuntimeProvider, workspace: Path) -> LocalRuntime:
    return await provider.acquire(key="k", workspace=workspace, shell_was_used=False)


@pytest.fixture
def run(runtime: LocalRuntime) -> Run:
    async def execute(command: str, timeout: float | None = None) -> RunObservation:  # noqa: ASYNC109
        observation = await runtime.execute(RunAction(command=command, timeout=timeout))
        assert isinstance(observation, RunObservation)
        return observation

    return execute
