"""Says whether a process beside this one clears away what was deleted. A file's lock, no row."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from django.conf import settings


def _open() -> int:
    path = Path(settings.DATA_DIR) / "sweeping.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


class Presence:
    """Held by every process that sweeps. The system lets it go, however the process ends."""

    def __init__(self) -> None:
        self._file: int | None = None

    def show(self) -> None:
        """Be seen from now on. It waits for nobody: who looks holds the lock for no time."""
        self._file = _open()
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def hide(self) -> None:
        """Be seen no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_swept() -> bool:
    """Whether some process on this DATA_DIR sweeps now: it has the sandboxes, so it clears."""
    file = _open()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
