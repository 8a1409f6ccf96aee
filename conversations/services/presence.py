"""Says whether a process beside this one clears away what was deleted. A file's lock, no row."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from django.conf import settings

from conversations.exceptions import DataDirError

#: The kernel's `struct flock`: kind of lock, where it begins, its length (0: all), no process.
_LOCK: Final = struct.Struct("hhqqi4x")


def _open() -> int:
    """Open the file, which everybody may read: a command of root's must not keep a server out."""
    path = Path(settings.DATA_DIR) / "sweeping.lock"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError as error:
        message = (
            f"{path} cannot be opened ({error.strerror}). Give it to the user that Handrail runs "
            "as, or remove it while no server runs."
        )
        raise DataDirError(message) from error


def presence_check() -> None:
    """Raise DataDirError where nobody could be seen."""
    os.close(_open())


class Presence:
    """Held by every process that sweeps. The system lets it go, however the process ends."""

    def __init__(self) -> None:
        self._file: int | None = None

    def show(self) -> None:
        """Be seen from now on. Raises DataDirError."""
        self._file = _open()
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))

    def hide(self) -> None:
        """Be seen no more."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def is_swept() -> bool:
    """Whether some process on this DATA_DIR sweeps now: it has the sandboxes, so it clears.

    Asked without taking a lock, not even for a moment: two that ask at once would take each other
    for one that sweeps, and both leave the work. Raises DataDirError.
    """
    file = _open()
    try:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        in_the_way = fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked)
    finally:
        os.close(file)
    return bool(_LOCK.unpack(in_the_way)[0] != fcntl.F_UNLCK)
