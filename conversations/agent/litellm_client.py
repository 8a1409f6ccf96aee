"""The LLM behind litellm: one call, one answer. It knows no loop, no retries and no Django."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

from conversations.agent.llm import LLMError, LLMResponse, ToolCall, Usage
from conversations.agent.provider_failures import ProviderFailures
from outbound.policy import OutboundPolicy, Resolver, system_resolve
from outbound.wall import OutboundCall

#: Set before the import, which would else fetch prices and headers and read a `.env` file.
_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
#: Sent where a server is named but no key: given none, litellm would send that server our own.
_NO_KEY: Final = "no-key"
_REMEMBERED_IDS: Final = 10_000
_RECORDED_KEYS: Final = ("id", "created", "model", "object", "system_fingerprint", "service_tier")

_load_lock = threading.Lock()
_litellm: Any = None
_ids_lock = threading.Lock()
_ids: OrderedDict[str, None] = OrderedDict()


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
        call = OutboundCall(self._outbound, resolve=self._resolve)
        try:
            litellm = _litellm or await asyncio.to_thread(_load)
            async with asyncio.timeout(self._timeout), call.walled(self._base_url):
                response = await litellm.acompletion(**self._request(messages, tools))
            return self._response(litellm, response, messages)
        except LLMError:
            raise
        except Exception as error:  # noqa: BLE001  # litellm lets through whatever its parts raise
            refusal = call.refusal_behind(error)
            failure = self._failures.not_sent(refusal) if refusal else self._failures.named(error)
        # Raised here, without the original as its context: that one's text may hold the API key.
        raise failure

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
        answer = _plain(response)
        if not answer.get("choices"):
            raise self._failures.unreadable(detail="it has no choices")
        raw = _recorded_form(answer, messages)
        message = raw["choices"][0]["message"]
        return LLMResponse(
            response_id=raw["id"],
            content=message["content"],
            tool_calls=tuple(_tool_call(call) for call in message["tool_calls"] or ()),
            usage=_usage(raw["usage"], self._cost(litellm, response)),
            raw=raw,
        )

    def _cost(self, litellm: Any, response: Any) -> float | None:
        try:
            return float(litellm.completion_cost(completion_response=response, model=self._model))
        except Exception:  # noqa: BLE001  # it raises a plain Exception where it knows no price
            return None


def _load() -> Any:
    global _litellm
    with _load_lock:
        if _litellm is None:
            os.environ.update(_ENVIRONMENT)
            with _without_garbage_collection():
                import litellm

                _silence(litellm)
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


def _plain(response: Any) -> dict[str, Any]:
    dumped = response.model_dump(mode="json", warnings=False)
    plain: dict[str, Any] = json.loads(json.dumps(dumped, default=str))
    return plain


def _recorded_form(
    answer: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Keep the first choice, in the form that trajectories record; what is missing is made up."""
    choice = answer["choices"][0]
    given = choice.get("message") or {}
    taken = {call.get("id") for sent in messages for call in sent.get("tool_calls") or ()}
    calls: list[dict[str, Any]] = []
    for call in given.get("tool_calls") or ():
        calls.append(_recorded_call(call, taken))
        taken.add(calls[-1]["id"])
    message = {
        # Some providers want their own additions back, such as signed thoughts.
        **{key: value for key, value in given.items() if _says_something(value)},
        "content": given.get("content") or "",
        "role": "assistant",
        "tool_calls": calls or None,
        "function_call": None,
    }
    return {
        **{key: answer.get(key) for key in _RECORDED_KEYS},
        "id": _unrepeated(answer.get("id")),
        "choices": [{"finish_reason": choice.get("finish_reason"), "index": 0, "message": message}],
        "usage": answer.get("usage") or {},
    }


def _says_something(value: object) -> bool:
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _recorded_call(call: Mapping[str, Any], taken: set[Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    call_id = call.get("id")
    return {
        **call,
        "function": {
            "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
            "name": function.get("name") or "",
        },
        "id": f"call_{uuid4().hex}" if not call_id or call_id in taken else str(call_id),
        "type": "function",
    }


def _unrepeated(response_id: object) -> str:
    """Return the id, or a new one where it is empty or was seen in this process before."""
    with _ids_lock:
        if not response_id or response_id in _ids:
            response_id = f"chatcmpl-{uuid4()}"
        _ids[str(response_id)] = None
        if len(_ids) > _REMEMBERED_IDS:
            _ids.popitem(last=False)
    return str(response_id)


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call_id=call["id"], name=function["name"], arguments=function["arguments"])


def _usage(usage: Mapping[str, Any], cost: float | None) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cache_read_tokens=details.get("cached_tokens") or usage.get("cache_read_input_tokens") or 0,
        cache_write_tokens=details.get("cache_creation_tokens")
        or usage.get("cache_creation_input_tokens")
        or 0,
        cost=cost,
    )
