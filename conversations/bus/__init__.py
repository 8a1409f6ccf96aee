"""Wake-ups after a commit. The process has one bus: by the kind of database, if none is named."""

from django.db import connection

from conversations.bus.base import Bus, Call, Subscription
from conversations.bus.memory import MemoryBus

_installed: list[Bus] = []


def install(bus: Bus | None) -> None:
    """Make `bus` the one of this process, None the usual one. Called before anybody listens."""
    _installed[:] = [] if bus is None else [bus]


def get_bus() -> Bus:
    """Give this process's bus."""
    if not _installed:
        _installed.append(_usual())
    return _installed[0]


def _usual() -> Bus:
    if connection.vendor == "postgresql":
        # Only where it is used: its driver takes a tenth of every command's start.
        from conversations.bus.postgres import PostgresBus

        return PostgresBus()
    return MemoryBus()


__all__ = ["Bus", "Call", "MemoryBus", "Subscription", "get_bus", "install"]
