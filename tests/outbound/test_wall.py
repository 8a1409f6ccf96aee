"""The real litellm in front of the wall: what must not be reached sees no connection at all."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from conversations.agent.litellm_client import LiteLLMClient
from conversations.agent.llm import LLMError, LLMErrorKind
from outbound.policy import OutboundPolicy, allowed_parse
from tests.provider_calls import HELLO, KEY, TOOLS, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, error, text

# litellm dumps an answer's arguments before it turns them into text.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")

PUBLIC = "93.184.215.14"
#: By SDKs of OpenAI's kind, by litellm's own clients (shared, of a provider, synchronous).
MODELS = [
    *("openai/m", "azure/m", "hosted_vllm/m", "openrouter/m", "deepseek/m", "groq/m", "xai/m"),
    *("anthropic/m", "mistral/m", "ollama_chat/m", "gemini/m"),
    *("lm_studio/m", "litellm_proxy/m", "huggingface/m", "databricks/m", "fireworks_ai/m"),
    *("openai/responses/m", "custom_openai/m"),
]


class Answers:
    """A resolver that knows what it was told, once for each time that it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return self._answers.pop(0)


@pytest.fixture(autouse=True)
async def provider() -> AsyncIterator[ScriptedLLMServer]:
    async with scripted_provider() as server:
        yield server


@contextmanager
def silence() -> Iterator[int]:
    """Give the port of a listener, and see at the end that nobody has connected."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def policy(*entries: str) -> OutboundPolicy:
    return OutboundPolicy(allowed=[allowed_parse(entry) for entry in entries])


def named(provider: ScriptedLLMServer) -> str:
    """Give the provider's address by the name of this machine."""
    return provider.base_url.replace("127.0.0.1", "localhost")


async def refusal(llm: LiteLLMClient, tools: Sequence[dict[str, Any]] = TOOLS) -> str:
    with pytest.raises(LLMError) as raised:
        await llm.complete(HELLO, tools)
    assert raised.value.kind == LLMErrorKind.OTHER
    assert not raised.value.retryable
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    return str(raised.value)


@pytest.mark.parametrize("model", MODELS)
async def test_a_name_that_turns_inside_after_it_was_looked_up_is_not_reached(
    provider: ScriptedLLMServer, model: str
) -> None:
    llm = LiteLLMClient(
        model=model,
        api_key=KEY,
        base_url=named(provider),
        outbound=policy(),
        resolve=Answers([PUBLIC]),
    )
    assert "was not sent" in await refusal(llm, tools=[])
    assert provider.requests == []


@pytest.mark.parametrize("model", MODELS)
async def test_a_named_server_is_reached(provider: ScriptedLLMServer, model: str) -> None:
    """And so the test above asks models that do go where the base URL says."""
    llm = LiteLLMClient(
        model=model, api_key=KEY, base_url=named(provider), outbound=policy("localhost")
    )
    try:
        await llm.complete(HELLO, [])
    except LLMError as failed:
        # The script speaks the language of one provider only.
        assert "was not sent" not in str(failed)  # noqa: PT017
    assert provider.requests


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"]]
)
async def test_a_name_with_one_inner_address_is_refused(addresses: list[str]) -> None:
    llm = LiteLLMClient(
        model="openai/m",
        api_key=KEY,
        base_url="http://llm.example.org/v1",
        outbound=policy(),
        resolve=Answers(addresses),
    )
    assert "was not sent" in await refusal(llm)


async def test_a_redirect_inside_is_not_followed(provider: ScriptedLLMServer) -> None:
    with silence() as port:
        location = f"http://127.0.0.1:{port}/v1/chat/completions"
        provider.script([error(307, headers={"Location": location})] * 3)
        allowed = policy(provider.base_url.removeprefix("http://").removesuffix("/v1"))
        for model in ("openai/m", "anthropic/m"):
            llm = LiteLLMClient(
                model=model, api_key=KEY, base_url=provider.base_url, outbound=allowed
            )
            assert "was not sent" in await refusal(llm)
    assert provider.requests


async def test_open_and_closed_ports_are_told_apart_by_nothing() -> None:
    said = set()
    with socket.socket() as closed, silence() as port:
        closed.bind(("127.0.0.1", 0))
        for number in (port, closed.getsockname()[1]):
            url = f"http://127.0.0.1:{number}/v1"
            llm = LiteLLMClient(model="openai/m", api_key=KEY, base_url=url, outbound=policy())
            said.add(await refusal(llm))
    assert len(said) == 1


async def test_a_model_whose_default_is_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silence() as port:
        monkeypatch.setenv("OLLAMA_API_BASE", f"http://127.0.0.1:{port}")
        llm = LiteLLMClient(model="ollama_chat/m", api_key=None, base_url=None, outbound=policy())
        assert "was not sent" in await refusal(llm)


async def test_a_connection_that_another_call_has_left_open_is_not_used(
    provider: ScriptedLLMServer,
) -> None:
    provider.script([text("one"), text("two")])
    url = named(provider)
    open_to = LiteLLMClient(
        model="openai/m", api_key=KEY, base_url=url, outbound=policy("localhost")
    )
    assert (await open_to.complete(HELLO, TOOLS)).content == "one"
    shut = LiteLLMClient(model="openai/m", api_key=KEY, base_url=url, outbound=policy())
    assert "was not sent" in await refusal(shut)


async def test_without_a_policy_nothing_is_checked(provider: ScriptedLLMServer) -> None:
    provider.script([text("yes")])
    llm = LiteLLMClient(model="openai/m", api_key=KEY, base_url=provider.base_url)
    assert (await llm.complete(HELLO, TOOLS)).content == "yes"
