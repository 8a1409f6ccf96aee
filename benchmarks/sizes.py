"""How much is stored, asked and waited for in a run; every number of a run stands here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

#: Items of a page of the list, and events of a page of a log.
PAGE: Final = 20
EVENTS_PAGE: Final = 100
#: Seconds that one database may take altogether.
LIMIT_SECONDS: Final = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """A run. Times are seconds; a burst ends at its number of requests or its time."""

    #: Stored conversations, by the name of their database.
    stored: dict[str, int]
    #: Events of the log that is read.
    events: int
    #: Idle conversations that must cost nothing.
    idle: int
    #: Times that each burst is repeated, in turn with all others of its group.
    rounds: int
    requests: int
    seconds: float
    #: Connections that ask at once where requests a second are counted. Each costs each server a
    #: thread with its connection to the database, of which PostgreSQL has a hundred for all.
    connections: int
    load_requests: int
    load_seconds: float
    #: How long a server may take until it has come to rest.
    settle_seconds: float
    #: Looks at a server of which the lowest counts.
    looks: int
    #: Writers that append at once, each in a process of its own.
    writers: tuple[int, ...]
    #: Loops of one process that wait for their LLM at once.
    waiting: tuple[int, ...]
    #: Appends whose way to a socket of another process is timed.
    wake_ups: int
    #: Requests that a profile adds up.
    profiled: int


FULL: Final = Sizes(
    stored={"small": 100, "middle": 10_000, "large": 1_000_000},
    events=10_000,
    idle=1_000,
    rounds=5,
    requests=60,
    seconds=0.5,
    connections=8,
    load_requests=800,
    load_seconds=0.4,
    settle_seconds=60,
    looks=8,
    writers=(1, 8),
    waiting=(1, 100, 1_000, 2_000),
    wake_ups=20,
    profiled=100,
)
QUICK: Final = Sizes(
    stored={"small": 100, "large": 1_000},
    events=300,
    idle=20,
    rounds=1,
    requests=3,
    seconds=0.1,
    connections=2,
    load_requests=16,
    load_seconds=0.1,
    settle_seconds=0,
    looks=1,
    writers=(2,),
    # Not one: a server that has loaded the LLM library costs more than all the rest.
    waiting=(),
    wake_ups=1,
    profiled=3,
)


def sizes_of(*, quick: bool, scale: bool) -> Sizes:
    """Give a run's sizes; less is stored where only what grows with the load is measured."""
    sizes = QUICK if quick else FULL
    return replace(sizes, stored={"small": 100, "large": 10_000}) if scale else sizes
