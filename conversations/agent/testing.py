"""A language model that says what it was told to say, for tests of the loop. No network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from conversations.agent.llm import LLMError, LLMResponse, ToolCall, Usage


def _raw(response_id: str, content: str, calls: Sequence[ToolCall]) -> dict[str, Any]:
    tool_calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]
    message = {"role": "assistant", "content": content, "tool_calls": tool_calls}
    return {"id": response_id, "choices": [{"index": 0, "message": message}]}


class ScriptedLLM:
    """Gives its answers in order, or raises them; fails loudly when it has no more."""

    def __init__(self, script: Sequence[LLMResponse | LLMError]) -> None:
        self._script = list(script)
        #: What it was asked, in order.
        self.asked: list[list[dict[str, Any]]] = []
        #: An answer is held back while this is not set.
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def complete(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> LLMResponse:
        """Give the next answer. Raises LLMError where the script says so."""
        self.asked.append(list(messages))
        await self.may_answer.wait()
        if len(self.asked) > len(self._script):
            message = f"the script has {len(self._script)} answers and was asked once more"
            raise AssertionError(message)
        step = self._script[len(self.asked) - 1]
        if isinstance(step, LLMError):
            raise step
        return step


_numbers = iter(range(1, 1_000_000))


def text(content: str) -> LLMResponse:
    """Give an answer in plain text."""
    response_id = f"answer-{next(_numbers)}"
    return LLMResponse(response_id=response_id, content=content, raw=_raw(response_id, content, ()))


def calls(*tool_calls: tuple[str, dict[str, Any] | str], content: str = "") -> LLMResponse:
    """Give an answer with tool calls: each a tool's name and its arguments, or their raw text."""
    response_id = f"answer-{next(_numbers)}"
    made = tuple(
        ToolCall(
            call_id=f"call-{next(_numbers)}",
            name=name,
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments),
        )
        for name, arguments in tool_calls
    )
    return LLMResponse(
        response_id=response_id,
        content=content,
        tool_calls=made,
        usage=Usage(prompt_tokens=100, completion_tokens=10, cost=0.01),
        raw=_raw(response_id, content, made),
    )


def run(command: str) -> LLMResponse:
    """Give an answer that runs one command."""
    return calls(("execute_bash", {"command": command}))


def finish(message: str = "Done.") -> LLMResponse:
    """Give an answer that ends the task."""
    return calls(("finish", {"message": message, "task_completed": "true"}))
