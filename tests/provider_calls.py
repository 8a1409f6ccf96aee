"""Calls through the real litellm to a scripted provider, as the tests of the client make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from conversations.agent.litellm_client import LiteLLMClient, clients_close, warm_up
from conversations.agent.llm import LLMResponse
from tests.scripted_llm import ScriptedLLMServer, Step

KEY = "sk-scripted-0123456789abcdefghij"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "execute_bash",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
    }
]
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


@asynccontextmanager
async def scripted_provider() -> AsyncIterator[ScriptedLLMServer]:
    """Serve for one test; litellm's connections end with it, for its event loop ends too."""
    warm_up()
    with ScriptedLLMServer() as server:
        yield server
        await clients_close()


def client_of(
    provider: ScriptedLLMServer,
    *,
    model: str = "openai/scripted",
    api_key: str | None = KEY,
    timeout: float = 30,
) -> LiteLLMClient:
    return LiteLLMClient(model=model, api_key=api_key, base_url=provider.base_url, timeout=timeout)


async def answer(provider: ScriptedLLMServer, step: Step, **options: Any) -> LLMResponse:
    provider.script([step])
    return await client_of(provider, **options).complete(HELLO, TOOLS)
