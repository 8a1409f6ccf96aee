"""`manage.py serve` or `work` that says on SIGUSR1 how many asyncio tasks it has, and no more."""

from __future__ import annotations

import asyncio
import runpy
import signal
import sys
from pathlib import Path

from project.env import variable

#: The file in DATA_DIR with the count.
COUNT = "asyncio-tasks"


def _count(*_: object) -> None:
    # The handler runs on the main thread, and the event loop is there.
    place = Path(variable("DATA_DIR")) / COUNT
    new = place.with_suffix(".new")
    new.write_text(str(len(asyncio.all_tasks())))
    new.replace(place)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _count)
    sys.argv[0] = "manage.py"
    runpy.run_path("manage.py", run_name="__main__")
