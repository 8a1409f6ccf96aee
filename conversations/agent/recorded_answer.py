"""An LLM's answer in the form that trajectories record. No provider's library here."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

_REMEMBERED_IDS: Final = 10_000
_RECORDED_KEYS: Final = ("id", "created", "model", "object", "system_fingerprint", "service_tier")

_ids_lock = threading.Lock()
_ids: OrderedDict[str, None] = OrderedDict()


def answer_plain(response: Any) -> dict[str, Any]:
    """Give what the library answered as plain JSON."""
    dumped = response.model_dump(mode="json", warnings=False)
    plain: dict[str, Any] = json.loads(json.dumps(dumped, default=str))
    return plain


def recorded_form(
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
