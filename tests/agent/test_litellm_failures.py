"""The real litellm against a scripted provider on loopback: how its failures are named."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conversations.agent.litellm_client import LiteLLMClient
from conversations.agent.llm import LLMError, LLMErrorKind
from conversations.agent.provider_failures import ProviderFailures
from tests.provider_calls import HELLO, KEY, TOOLS, answer, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, Step, body, delay, drop, error, hang, text

# litellm dumps an answer's arguments before it turns them into text.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")


@pytest.fixture(autouse=True)
async def provider() -> AsyncIterator[ScriptedLLMServer]:
    async with scripted_provider() as server:
        yield server


async def failure(provider: ScriptedLLMServer, step: Step, **options: Any) -> LLMError:
    with pytest.raises(LLMError) as raised:
        await answer(provider, step, **options)
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    return raised.value


POLICY = "Your request was rejected as a result of the safety system."


@pytest.mark.parametrize(
    ("step", "kind", "retryable"),
    [
        (error(401), LLMErrorKind.AUTHENTICATION, False),
        (error(403), LLMErrorKind.AUTHENTICATION, False),
        (error(402), LLMErrorKind.OUT_OF_CREDITS, False),
        (error(429), LLMErrorKind.RATE_LIMIT, True),
        (error(429, "no", code="insufficient_quota"), LLMErrorKind.OUT_OF_CREDITS, False),
        (error(429, "You exceeded your current quota"), LLMErrorKind.OUT_OF_CREDITS, False),
        (error(400, "Your credit balance is too low"), LLMErrorKind.OUT_OF_CREDITS, False),
        (
            error(400, "maximum context length is 9 tokens", code="context_length_exceeded"),
            LLMErrorKind.CONTEXT_WINDOW,
            False,
        ),
        (error(400, POLICY), LLMErrorKind.CONTENT_POLICY, False),
        (error(400, "no", code="content_policy_violation"), LLMErrorKind.CONTENT_POLICY, False),
        (error(400), LLMErrorKind.OTHER, False),
        (error(404), LLMErrorKind.OTHER, False),
        (error(422), LLMErrorKind.OTHER, False),
        (error(500), LLMErrorKind.INTERNAL_SERVER_ERROR, True),
        (error(502), LLMErrorKind.SERVICE_UNAVAILABLE, True),
        (error(503), LLMErrorKind.SERVICE_UNAVAILABLE, True),
        (error(529), LLMErrorKind.SERVICE_UNAVAILABLE, True),
        (drop(), LLMErrorKind.SERVICE_UNAVAILABLE, True),
        (body(b"<html>502 Bad Gateway"), LLMErrorKind.OTHER, True),
        (body(b'{"id": "1"}'), LLMErrorKind.OTHER, True),
        (body(b"[1]"), LLMErrorKind.OTHER, True),
        (body(b""), LLMErrorKind.OTHER, True),
        (text("", choices=[]), LLMErrorKind.OTHER, True),
        (text("", choices=[{"index": 0, "message": None}]), LLMErrorKind.OTHER, True),
    ],
)
async def test_every_failure_has_its_kind(
    provider: ScriptedLLMServer, step: Step, kind: LLMErrorKind, *, retryable: bool
) -> None:
    failed = await failure(provider, step)

    assert (failed.kind, failed.retryable) == (kind, retryable)
    assert "openai/scripted" in str(failed)
    assert len(str(failed)) < 500
    assert "litellm" not in str(failed).lower()
    assert len(provider.requests) == 1, "retries are the loop's"


async def test_a_refused_connection_is_an_unavailable_service() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        llm = LiteLLMClient(model="openai/scripted", api_key=KEY, base_url=url)
        with pytest.raises(LLMError) as raised:
            await llm.complete(HELLO, TOOLS)

    assert raised.value.kind == LLMErrorKind.SERVICE_UNAVAILABLE
    assert raised.value.retryable


@pytest.mark.parametrize("step", [hang(60), delay(60, text("late"))])
async def test_a_provider_that_stays_silent_is_given_up(
    provider: ScriptedLLMServer, step: Step
) -> None:
    failed = await failure(provider, step, timeout=0.5)

    assert failed.kind == LLMErrorKind.SERVICE_UNAVAILABLE
    assert failed.retryable
    assert "within 0.5 seconds" in str(failed)


async def test_a_model_of_no_known_provider_is_named(provider: ScriptedLLMServer) -> None:
    failed = await failure(provider, text("never asked"), model="nobody-knows-it")

    assert (failed.kind, failed.retryable) == (LLMErrorKind.OTHER, False)
    assert "nobody-knows-it" in str(failed)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("86400", 120.0),
        ("-3", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0),
        ("soon", None),
        ("nan", None),
    ],
)
async def test_retry_after_is_read_and_bounded(
    provider: ScriptedLLMServer, header: str, seconds: float | None
) -> None:
    failed = await failure(provider, error(429, "slow down", {"Retry-After": header}))

    assert failed.retry_after == seconds


async def test_a_key_that_the_provider_echoes_is_masked(provider: ScriptedLLMServer) -> None:
    failed = await failure(provider, error(401, f"Incorrect API key provided: {KEY}."))

    assert "provided: ******" in str(failed)
    assert failed.__cause__ is None
    assert failed.__context__ is None


async def test_the_ends_of_a_key_are_masked_too(provider: ScriptedLLMServer) -> None:
    failed = await failure(provider, error(401, "Incorrect API key: sk-scri*****ghij. See docs."))

    assert "sk-scri" not in str(failed)
    assert "ghij" not in str(failed)


async def test_a_key_that_no_header_can_carry_is_masked(provider: ScriptedLLMServer) -> None:
    failed = await failure(provider, text("never asked"), api_key="sk-broken\nin-two")

    assert "in-two" not in str(failed)


async def test_an_odd_exception_is_named_by_its_type() -> None:
    failures = ProviderFailures(model="openai/scripted", timeout=1, api_key=KEY)

    failed = failures.named(KeyError(f"choices of {KEY}"))

    assert (failed.kind, failed.retryable) == (LLMErrorKind.OTHER, False)
    assert "KeyError" in str(failed)
    assert KEY not in str(failed)
    assert KEY not in repr(failures)
