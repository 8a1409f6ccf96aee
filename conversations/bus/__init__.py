"""Wake-ups after a commit. The process has one bus; project wiring may install another."""

from conversations.bus.base import Bus, Subscription
from conversations.bus.memory import MemoryBus

_installed: list[Bus] = [MemoryBus()]


def install(bus: Bus) -> None:
    """Make `bus` the one of this process. Called before anybody listens."""
    _installed[0] = bus


def get_bus() -> Bus:
    """Give this process's bus."""
    return _installed[0]


__all__ = ["Bus", "MemoryBus", "Subscription", "get_bus", "install"]
