"""Answers that would take the server's memory: they are not read, or not unpacked."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conversations.agent.answer_bound import LONGEST_ANSWER, MOST_PARTS
from conversations.agent.llm import LLMError, LLMErrorKind
from tests.llm_steps import completion
from tests.provider_calls import answer, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, Step, body, calls, error, run, text

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


def answered(**changes: Any) -> Step:
    """An answer with other parts at its top."""
    whole = {**json.loads(padded(0)), **changes}
    return body(json.dumps(whole, separators=(",", ":")).encode())


CHOICE = json.loads(padded(0))["choices"][0]


@pytest.mark.parametrize(
    "step",
    [
        answered(choices=[CHOICE, *([{}] * 20_000)]),
        answered(extra=[[]] * MOST_PARTS),
        body(b"[" * 300_000),
        body(b"{" * 2_000),
    ],
)
async def test_an_answer_of_many_parts_is_not_read(provider: ScriptedLLMServer, step: Step) -> None:
    """Made into litellm's objects, 60 kB of empty choices would take the event loop 14 seconds."""
    with pytest.raises(LLMError, match="was not read: it has more than 1000 parts"):
        await answer(provider, step)


async def test_brackets_within_texts_are_no_parts(provider: ScriptedLLMServer) -> None:
    code = "[{}]\n" * 20_000
    assert (await answer(provider, text(code))).content == code
    many = calls(*[run(f"echo {number} " + "{" * 50) for number in range(60)])
    assert len((await answer(provider, many)).tool_calls) == 60


async def test_an_answer_that_would_be_kept_too_often_is_not_kept(
    provider: ScriptedLLMServer,
) -> None:
    """Each event of an answer keeps the answer, as recordings do."""
    many = calls(*[run(f"echo {'x' * 10_000}") for _ in range(60)])
    with pytest.raises(LLMError, match="was not read: it asks for 60 tools in too many words"):
        await answer(provider, many)


@pytest.mark.parametrize("said", [-1000.0, float("nan"), float("inf"), 1e9])
async def test_a_price_that_cannot_be_is_not_believed(
    provider: ScriptedLLMServer, said: float
) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    step = answered(usage={**usage, "cost": {"total_cost": said}})
    # This provider is sent no tools, by which the script would know a turn.
    provider.title_answer = step
    got = await answer(provider, step, model="perplexity/sonar")
    assert (got.usage.cost, got.usage.prompt_tokens) == (None, 7)


@pytest.mark.parametrize("said", [-5, 10**30])
async def test_tokens_that_cannot_be_are_not_counted(
    provider: ScriptedLLMServer, said: int
) -> None:
    step = answered(usage={"prompt_tokens": said, "completion_tokens": 1, "total_tokens": 1})
    assert (await answer(provider, step)).usage.prompt_tokens == 0


async def test_a_long_failure_is_told_shortly(provider: ScriptedLLMServer) -> None:
    with pytest.raises(LLMError) as raised:
        await answer(provider, error(400, "a" * 1_000_000))
    assert len(str(raised.value)) < 500
