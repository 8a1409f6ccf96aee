"""Answers that would take the server's memory: they are not read, or not unpacked."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator

import pytest

from conversations.agent.answer_bound import LONGEST_ANSWER
from conversations.agent.llm import LLMError, LLMErrorKind
from tests.llm_steps import completion
from tests.provider_calls import answer, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, Step, body, error, text

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")


@pytest.fixture(autouse=True)
async def provider() -> AsyncIterator[ScriptedLLMServer]:
    async with scripted_provider() as server:
        yield server


def padded(size: int) -> bytes:
    """A whole answer of so many bytes: JSON may end in blanks."""
    return json.dumps(completion(text("hi"), "openai/scripted")).encode().ljust(size)


@pytest.mark.parametrize("model", ["openai/scripted", "hosted_vllm/scripted", "databricks/m"])
async def test_an_answer_has_a_longest(provider: ScriptedLLMServer, model: str) -> None:
    longest = await answer(provider, body(padded(LONGEST_ANSWER)), model=model)
    assert longest.content == "hi"

    with pytest.raises(LLMError, match="was not read: it is longer than 8 MB") as raised:
        await answer(provider, body(padded(LONGEST_ANSWER + 1)), model=model)
    assert (raised.value.kind, raised.value.retryable) == (LLMErrorKind.OTHER, False)
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "step",
    [
        body(gzip.compress(padded(100 * LONGEST_ANSWER), 1), {"Content-Encoding": "gzip"}),
        error(500, headers={"Content-Encoding": "deflate"}),
    ],
)
async def test_a_packed_answer_is_not_unpacked(provider: ScriptedLLMServer, step: Step) -> None:
    with pytest.raises(LLMError, match="was not read: it is compressed"):
        await answer(provider, step)
    assert provider.requests[0].headers["accept-encoding"] == "identity"
