"""What is done to a deployment, and when: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Blow(StrEnum):
    """One thing that is done to a deployment."""

    KILL = "kill -9"
    TERM = "SIGTERM"
    FREEZE = "SIGSTOP"
    RESTART = "database restart"


@dataclass(frozen=True, slots=True)
class Step:
    """A blow, after a pause; `at` chooses the process, `lasts` is how long it is away. Seconds."""

    blow: Blow
    pause: float
    at: float
    lasts: float


def steps(*, kills: int, seed: int, pause: float, lease: float, restarts: bool) -> Iterator[Step]:
    """Give blows until so many were kills; about each fifth is something else."""
    chance = random.Random(seed)  # noqa: S311  # it is to be repeated, not to be secret
    others = [Blow.TERM, Blow.FREEZE, *([Blow.RESTART] if restarts else [])]
    done = 0
    while done < kills:
        blow = Blow.KILL if chance.random() < 0.8 else chance.choice(others)  # noqa: PLR2004
        done += blow is Blow.KILL
        # More than half of the freezes outlast a lease.
        longest = 2.5 * lease if blow is Blow.FREEZE else 0.5
        yield Step(blow, chance.uniform(0.1, pause), chance.random(), chance.uniform(0, longest))
