"""An event loop in which seconds pass when a test says so."""

from __future__ import annotations

import asyncio


class HastyLoop(asyncio.SelectorEventLoop):
    """Its clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        """Give the time of this loop."""
        return super().time() + self.ahead


def let_pass(seconds: float) -> None:
    """Put the clock of the running loop forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HastyLoop)
    loop.ahead += seconds
