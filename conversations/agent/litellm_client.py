"""The LLM behind litellm: one call, one answer. It knows no loop, no retries and no Django."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
from httpx._config import DEFAULT_LIMITS

from conversations.agent.answer_bound import bounded_answer
from conversations.agent.llm import LLMError, LLMResponse, ToolCall, Usage
from conversations.agent.provider_failures import ProviderFailures
from conversations.agent.recorded_answer import answer_plain, recorded_form
from outbound.policy import URL_IN_MODEL, OutboundPolicy, Resolver, system_resolve
from outbound.wall import OutboundCall

#: Set before the import, which would else fetch prices and headers and read a `.env` file.
_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
#: Sent where a server is named but no key: given none, litellm would send that server our own.
_NO_KEY: Final = "no-key"
#: Providers whose answers do not come by httpx, where they are judged, or who log in by files of
#: the operator's home.
_UNJUDGED: Final = ("aiohttp_openai/", "github_copilot/", "chatgpt/", "xai_oauth/")
_NOT_FOR_USERS: Final = (
    "this provider is not for servers of many users; take an address of OpenAI's kind, with "
    "openai/ before the model's name"
)
#: Bytes. Each event of an answer keeps the answer.
_LONGEST_KEPT: Final = 16 * 1024 * 1024
#: US dollars, and tokens, that one answer can have cost; what says more is not believed.
_MOST_DOLLARS: Final = 1_000.0
_MOST_TOKENS: Final = 1_000_000_000
#: Seconds.
_ASIDE_TIMEOUT: Final = 5.0

_load_lock = threading.Lock()
_litellm: Any = None


def warm_up() -> None:
    """Load litellm. It takes seconds of CPU: call it in a thread when a server starts."""
    _load()


async def clients_close() -> None:
    """Close what litellm keeps open, before the event loop ends; a later call opens it anew.

    It closes the connections of every event loop: no call may be under way.
    """
    if _litellm is None:
        return
    from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

    await GLOBAL_LOGGING_WORKER.stop()
    await _litellm.close_litellm_async_clients()
    _litellm.in_memory_llm_clients_cache.flush_cache()


class LiteLLMClient:
    """A model of any provider that litellm knows, by litellm's name for it."""

    def __init__(
        self,
        *,
        model: str,
        api_key: str | None,
        base_url: str | None,
        timeout: float = 120,
        outbound: OutboundPolicy | None = None,
        resolve: Resolver = system_resolve,
    ) -> None:
        """Name the model; `outbound` says which addresses it may be at, None that any will do."""
        self._model = model
        self._api_key = (api_key or "").strip()
        self._base_url = base_url or None
        self._timeout = timeout
        self._outbound = outbound
        self._resolve = resolve
        self._failures = ProviderFailures(model=model, timeout=timeout, api_key=self._api_key)

    async def complete(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> LLMResponse:
        """Give one answer within `timeout` seconds. Raises LLMError only."""
        if self._outbound is not None:
            self._check_model()
        call = OutboundCall(self._outbound, resolve=self._resolve)
        with bounded_answer() as bound:
            try:
                litellm = _litellm or await asyncio.to_thread(_load)
                async with asyncio.timeout(self._timeout), call.walled(self._base_url):
                    response = await litellm.acompletion(**self._request(messages, tools))
                    # Within the wall: to know a price, it asks some servers for it.
                    return self._response(litellm, response, messages)
            except LLMError:
                raise
            except Exception as error:  # noqa: BLE001  # litellm lets through what its parts raise
                failure = self._failure(error, call.refusal_behind(error), bound.refusal)
        # Raised here, without the original as its context: that one's text may hold the API key.
        raise failure

    def _check_model(self) -> None:
        if "://" in self._model:
            # Some providers take an address from there, and none is looked at before it is used.
            raise self._failures.not_sent(URL_IN_MODEL)
        if self._model.startswith(_UNJUDGED):
            raise self._failures.not_sent(_NOT_FOR_USERS)

    def _failure(self, error: Exception, not_sent: str, not_read: str) -> LLMError:
        if not_sent:
            return self._failures.not_sent(not_sent)
        if not_read:
            return self._failures.not_read(not_read)
        return self._failures.named(error)

    def _request(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": list(messages),
            "api_key": self._api_key or (_NO_KEY if self._base_url else None),
            "base_url": self._base_url,
            "timeout": self._timeout,
            "num_retries": 0,
            "max_retries": 0,
            "drop_params": True,
        }
        if tools:
            request["tools"] = list(tools)
        return request

    def _response(
        self, litellm: Any, response: Any, messages: Sequence[dict[str, Any]]
    ) -> LLMResponse:
        answer = answer_plain(response)
        if not answer.get("choices"):
            raise self._failures.unreadable(detail="it has no choices")
        raw = recorded_form(answer, messages)
        message = raw["choices"][0]["message"]
        calls = message["tool_calls"] or ()
        if len(calls) * len(json.dumps(raw)) > _LONGEST_KEPT:
            reason = f"it asks for {len(calls)} tools in too many words"
            raise self._failures.not_read(reason)
        return LLMResponse(
            response_id=raw["id"],
            content=message["content"],
            tool_calls=tuple(_tool_call(call) for call in calls),
            usage=_usage(raw["usage"], self._cost(litellm, response)),
            raw=raw,
        )

    def _cost(self, litellm: Any, response: Any) -> float | None:
        try:
            cost = float(litellm.completion_cost(completion_response=response, model=self._model))
        except Exception:  # noqa: BLE001  # it raises a plain Exception where it knows no price
            return None
        # Some providers name it themselves.
        return cost if 0 <= cost <= _MOST_DOLLARS else None


def _load() -> Any:
    global _litellm
    with _load_lock:
        if _litellm is None:
            os.environ.update(_ENVIRONMENT)
            with _without_garbage_collection():
                import litellm

                _silence(litellm)
                # A client of httpx has 100 connections by default: of the turns that wait for one
                # provider with one key, the others would wait for those, until their time is over.
                # How many there are is bound elsewhere.
                DEFAULT_LIMITS.max_connections = None
                _rehearse(litellm)
            _litellm = litellm
    return _litellm


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Save two fifths of the time: a million objects are made, and all are kept.

    Frozen, they are not walked by later collections either, which would hold up every thread.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _silence(litellm: Any) -> None:
    litellm.suppress_debug_info = True
    # Its failures reach us as exceptions; its log lines would carry prompts past our masks.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # It logs URLs, and some providers take the key in the URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # It quotes the LLM's arguments where they came as an object instead of a text.
    warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
    # aiohttp complains when an event loop ends before its connections are closed.
    litellm.disable_aiohttp_transport = True
    # What it asks aside, of whoever is at the address that a user named, waits for 100 minutes by
    # default; and a connection that it kept would be used where a new one is refused.
    from litellm.llms.custom_httpx.http_handler import HTTPHandler

    litellm.module_level_client = HTTPHandler(
        timeout=_ASIDE_TIMEOUT,
        client=httpx.Client(
            timeout=_ASIDE_TIMEOUT, limits=httpx.Limits(max_keepalive_connections=0)
        ),
    )


def _rehearse(litellm: Any) -> None:
    """Do here, in a thread, what would hold up the event loop for a second at the first call."""
    import openai

    litellm.completion(
        model="openai/rehearsal",
        messages=[{"role": "user", "content": "hello"}],
        tools=[{"type": "function", "function": {"name": "rehearse", "parameters": {}}}],
        api_key=_NO_KEY,
        mock_response="hello",
    )
    with openai.OpenAI(api_key=_NO_KEY) as client:
        client.chat.completions.with_raw_response  # noqa: B018  # imports what a call needs


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call_id=call["id"], name=function["name"], arguments=function["arguments"])


def _usage(usage: Mapping[str, Any], cost: float | None) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=_tokens(usage.get("prompt_tokens")),
        completion_tokens=_tokens(usage.get("completion_tokens")),
        cache_read_tokens=_tokens(
            details.get("cached_tokens") or usage.get("cache_read_input_tokens")
        ),
        cache_write_tokens=_tokens(
            details.get("cache_creation_tokens") or usage.get("cache_creation_input_tokens")
        ),
        cost=cost,
    )


def _tokens(number: object) -> int:
    """Take what can be a number of tokens, else none: a server may say anything."""
    is_one = isinstance(number, int | float) and 0 <= number <= _MOST_TOKENS
    return int(number) if is_one else 0  # type: ignore[call-overload]
