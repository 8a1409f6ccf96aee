"""From the LLM's tool call to an action; what it got wrong is said in words that it can act on."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from conversations.agent.llm import ToolCall
from conversations.events.actions import (
    EditAction,
    FinishAction,
    ReadAction,
    RunAction,
    ThinkAction,
    WriteAction,
)
from conversations.events.base import Action
from conversations.exceptions import HandrailError

_RANGE_LENGTH = 2


class ToolCallError(HandrailError):
    """The LLM's tool call cannot be carried out; the message is for the LLM."""

    code = "tool_call"


class _ExecuteBash(BaseModel):
    command: str
    is_input: bool = False
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def to_action(self, thought: str) -> Action:
        return RunAction(
            command=self.command, is_input=self.is_input, timeout=self.timeout, thought=thought
        )


class _StrReplaceEditor(BaseModel):
    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    view_range: list[int] | None = None

    def to_action(self, thought: str) -> Action:
        if self.command == "view":
            start, end = self._lines()
            return ReadAction(path=self.path, start=start, end=end, thought=thought)
        self._require()
        return EditAction(
            path=self.path,
            command=self.command,
            file_text=self.file_text,
            old_str=self.old_str,
            new_str=self.new_str,
            insert_line=self.insert_line,
            thought=thought,
        )

    def _lines(self) -> tuple[int, int]:
        if not self.view_range:
            return 0, -1
        if len(self.view_range) != _RANGE_LENGTH:
            message = f"view_range takes two line numbers, not {self.view_range}."
            raise ToolCallError(message)
        return self.view_range[0], self.view_range[1]

    def _require(self) -> None:
        needed = {
            "create": ["file_text"],
            "str_replace": ["old_str"],
            "insert": ["insert_line", "new_str"],
        }
        for name in needed.get(self.command, []):
            if getattr(self, name) is None:
                message = f"str_replace_editor: {self.command} needs the argument {name}."
                raise ToolCallError(message)


class _Think(BaseModel):
    thought: str

    def to_action(self, thought: str) -> Action:
        return ThinkAction(thought=self.thought)


class _Finish(BaseModel):
    message: str = ""
    task_completed: Literal["true", "false", "partial", ""] = ""

    def to_action(self, thought: str) -> Action:
        return FinishAction(
            final_thought=self.message, task_completed=self.task_completed, thought=thought
        )


_ARGUMENTS: dict[str, type[_ExecuteBash | _StrReplaceEditor | _Think | _Finish]] = {
    "execute_bash": _ExecuteBash,
    "str_replace_editor": _StrReplaceEditor,
    "think": _Think,
    "finish": _Finish,
}


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        message = f"The arguments of {call.name} are not valid JSON: {error}."
        raise ToolCallError(message) from error
    if not isinstance(arguments, dict):
        message = f"The arguments of {call.name} must be a JSON object."
        raise ToolCallError(message)
    # Some models write null for what they leave out.
    return {key: value for key, value in arguments.items() if value is not None}


def action_from_call(call: ToolCall, thought: str = "") -> Action:
    """Give the action that a tool call asks for. Raises ToolCallError with advice for the LLM."""
    cls = _ARGUMENTS.get(call.name)
    if cls is None:
        message = f"There is no tool {call.name!r}. The tools are: {', '.join(_ARGUMENTS)}."
        raise ToolCallError(message)
    try:
        return cls.model_validate(_arguments(call)).to_action(thought)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False)
        )
        message = f"The arguments of {call.name} are wrong: {problems}."
        raise ToolCallError(message) from error


def call_of_action(action: Action) -> tuple[str, dict[str, Any]] | None:
    """Give the tool's name and the arguments that ask for an action; None for a message."""
    if isinstance(action, RunAction):
        return "execute_bash", {"command": action.command}
    if isinstance(action, ThinkAction):
        return "think", {"thought": action.thought}
    if isinstance(action, FinishAction):
        return "finish", {"message": action.final_thought, "task_completed": action.task_completed}
    arguments: dict[str, Any]
    if isinstance(action, ReadAction):
        arguments = {"command": "view", "path": action.path}
    elif isinstance(action, WriteAction):
        arguments = {"command": "create", "path": action.path, "file_text": action.content}
    elif isinstance(action, EditAction):
        names = ("command", "path", "file_text", "old_str", "new_str", "insert_line")
        values = {name: getattr(action, name) for name in names}
        arguments = {name: value for name, value in values.items() if value is not None}
    else:
        return None
    return "str_replace_editor", arguments
