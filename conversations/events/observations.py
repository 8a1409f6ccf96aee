"""What comes back. On the wire `content` stands beside `extras`, which hold all other fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conversations.events.base import Observation
from conversations.events.states import AgentState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStateChangedObservation(Observation):
    """The agent is doing something else now."""

    kind: ClassVar[str] = "agent_state_changed"
    agent_state: AgentState
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunObservation(Observation):
    """A command's output. `exit_code` is -1 where there is none."""

    kind: ClassVar[str] = "run"
    command: str
    exit_code: int
    working_dir: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadObservation(Observation):
    """A file's numbered lines, or a folder's names."""

    kind: ClassVar[str] = "read"
    path: str
    impl_source: str = "oh_aci"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditObservation(Observation):
    """A file was changed; `diff` is a unified diff."""

    kind: ClassVar[str] = "edit"
    path: str
    diff: str = ""
    prev_exist: bool = True
    impl_source: str = "oh_aci"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteObservation(Observation):
    """A file was written."""

    kind: ClassVar[str] = "write"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkObservation(Observation):
    """The thought is on record."""

    kind: ClassVar[str] = "think"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRejectedObservation(Observation):
    """The user did not want the pending action."""

    kind: ClassVar[str] = "user_rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorObservation(Observation):
    """Something did not work; `content` says what, to the user and to the LLM alike."""

    kind: ClassVar[str] = "error"
    error_id: str = ""


OBSERVATIONS: dict[str, type[Observation]] = {
    cls.kind: cls
    for cls in (
        AgentStateChangedObservation,
        RunObservation,
        ReadObservation,
        EditObservation,
        WriteObservation,
        ThinkObservation,
        UserRejectedObservation,
        ErrorObservation,
    )
}
