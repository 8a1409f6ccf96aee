"""What an agent or a user can ask for. Field names are the wire's `args` (CONTRACT 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from conversations.events.base import Action

EditCommand = Literal["create", "str_replace", "insert", "undo_edit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageAction(Action):
    """Text between the user and the agent."""

    kind: ClassVar[str] = "message"
    content: str
    image_urls: tuple[str, ...] | None = None
    wait_for_response: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAction(Action):
    """A shell command."""

    kind: ClassVar[str] = "run"
    executable: ClassVar[bool] = True
    command: str
    is_input: bool = False
    thought: str = ""
    #: Seconds; None means the deployment's SANDBOX_TIMEOUT.
    timeout: float | None = None
    hidden: bool = False
    confirmation_state: str = "confirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAction(Action):
    """A look at a file or a folder. Lines count from 1; an `end` of -1 means the last one."""

    kind: ClassVar[str] = "read"
    executable: ClassVar[bool] = True
    path: str
    start: int = 0
    end: int = -1
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditAction(Action):
    """A change of one file."""

    kind: ClassVar[str] = "edit"
    executable: ClassVar[bool] = True
    path: str
    command: EditCommand
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteAction(Action):
    """A file's whole new content."""

    kind: ClassVar[str] = "write"
    executable: ClassVar[bool] = True
    path: str
    content: str
    thought: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkAction(Action):
    """A thought that the agent wants on record."""

    kind: ClassVar[str] = "think"
    executable: ClassVar[bool] = True
    thought: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishAction(Action):
    """The agent's task is over. `task_completed` is "true", "false", "partial" or empty."""

    kind: ClassVar[str] = "finish"
    final_thought: str = ""
    task_completed: str = ""
    thought: str = ""


ACTIONS: dict[str, type[Action]] = {
    cls.kind: cls
    for cls in (
        MessageAction,
        RunAction,
        ReadAction,
        EditAction,
        WriteAction,
        ThinkAction,
        FinishAction,
    )
}
