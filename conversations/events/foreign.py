"""Events of the original's other agents and versions: shown as they were, carried out by nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conversations.events.base import Action, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAction(Action):
    """An action that this version has no type for."""

    kind: ClassVar[str] = ""
    #: The word on the wire.
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignExecutableAction(ForeignAction):
    """One of a kind that is carried out here, in a form that is not: it has to be settled too."""

    executable: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignObservation(Observation):
    """An observation that this version has no type for."""

    kind: ClassVar[str] = ""
    #: The word on the wire.
    name: str
