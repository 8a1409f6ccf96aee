"""Conversations with a scripted model and a scripted place to run tools; the database is real."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from conversations.agent.limits import LoopConfig
from conversations.agent.llm import LLMError, LLMResponse
from conversations.models import Conversation
from conversations.services.conversations import conversation_create
from conversations.services.titles import TitleMaker
from settings_app.models import User
from settings_app.services import settings_store
from tests.services.doubles import CountingRuntimeProvider, ScriptedTurns

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
