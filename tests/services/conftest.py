"""Conversations with a scripted model and a scripted place to run tools; the database is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations import dispatch
from conversations.agent.limits import LoopConfig
from conversations.agent.llm import LLMError, LLMResponse
from conversations.models import Conversation
from conversations.services.conversations import conversation_create
from conversations.services.titles import TitleMaker
from settings_app.models import User
from settings_app.services import settings_store
from tests.postgresql import needs_postgresql
from tests.services.doubles import CountingRuntimeProvider, ScriptedTurns
from tests.services.executing import Executor, executor_of, queue_clear

#: No waiting between the tries of a failed LLM call.
FAST = LoopConfig(retry_waits=(0.0, 0.0), max_iterations=20)


@pytest.fixture
def owner(user: User) -> User:
    settings_store(user=user, fields={"llm_model": "openai/scripted", "llm_api_key": "sk-abcdef"})
    return user


@pytest.fixture
def conversation_of(owner: User) -> Callable[..., Conversation]:
    def make(message: str = "Do it.") -> Conversation:
        return conversation_create(owner=owner, initial_user_msg=message)

    return make


@pytest.fixture
async def turns(transactional_db: None) -> AsyncIterator[Callable[..., ScriptedTurns]]:
    """Give a maker of processes, so to say: each with its own model, runtimes and lease keeper."""
    made: list[ScriptedTurns] = []

    def make(
        *script: LLMResponse | LLMError,
        process: str = "process-1",
        config: LoopConfig = FAST,
        runtimes: CountingRuntimeProvider | None = None,
        keeper_runs: bool = True,
        titles: TitleMaker | None = None,
    ) -> ScriptedTurns:
        turns_of_process = ScriptedTurns(
            script,
            process=process,
            config=config,
            runtimes=runtimes or CountingRuntimeProvider(),
            keeper_runs=keeper_runs,
            titles=titles,
        )
        made.append(turns_of_process)
        return turns_of_process

    yield make
    for turns_of_process in made:
        turns_of_process.keeper.stop()


@pytest.fixture(params=["in_process", pytest.param("procrastinate", marks=needs_postgresql)])
def executor_kind(request: pytest.FixtureRequest) -> str:
    """Name each kind of executor that this database can have."""
    return str(request.param)


@pytest.fixture
async def start(
    executor_kind: str, turns: object, settings: Settings
) -> AsyncIterator[Callable[[ScriptedTurns], asyncio.Future[Executor]]]:
    """Give what starts an executor; what is enqueued by then waits for it."""
    started: list[Executor] = []
    settings.WORKER_GRACE_SECONDS = 0
    if executor_kind == "procrastinate":
        from conversations.executors.turn_queue import TurnQueue

        await sync_to_async(queue_clear)()
        dispatch.install(TurnQueue())

    async def start_one(process: ScriptedTurns) -> Executor:
        executor = executor_of(executor_kind, process)
        await executor.start()
        started.append(executor)
        return executor

    yield lambda process: asyncio.ensure_future(start_one(process))
    for executor in started:
        await executor.stop()
    dispatch.install(None)
