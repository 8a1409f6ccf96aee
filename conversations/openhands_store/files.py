"""Files of a store that somebody else wrote: no link is followed, no file read beyond a limit."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from conversations.exceptions import DamagedStoreError

#: A larger event is none that the original's clients could have sent or been shown.
MAX_EVENT_BYTES: Final = 32 * 1024 * 1024
MAX_METADATA_BYTES: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without waiting: a pipe would hold us up until somebody writes into it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def shown(name: str) -> str:
    """Give a name that can be printed on one line, whatever bytes it was made of."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


class Folder:
    """An open folder of the store; what lies in it is opened from here, by its own name."""

    def __init__(self, descriptor: int, path: str = "") -> None:
        self._descriptor = descriptor
        #: Where it lies in the store, for people.
        self.path = path

    def place(self, name: str) -> str:
        """Give the path of what is called `name` in here, for people."""
        return f"{self.path}/{shown(name)}" if self.path else shown(name)

    @contextmanager
    def folder(self, name: str) -> Iterator[Folder]:
        """Open a folder in here. Raises DamagedStoreError."""
        with self._opened(name, _FOLDER) as descriptor:
            yield Folder(descriptor, self.place(name))

    def has(self, name: str) -> bool:
        """Whether anything is called so, be it a link that leads nowhere."""
        return self._facts(name) is not None

    def is_file(self, name: str) -> bool:
        """Whether it is a regular file."""
        facts = self._facts(name)
        return facts is not None and stat.S_ISREG(facts.st_mode)

    def _facts(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None

    def names(self) -> list[str]:
        """Give the names of all that lies in here, sorted. Raises DamagedStoreError."""
        try:
            return sorted(os.listdir(self._descriptor))  # noqa: PTH208  # by descriptor
        except OSError as error:
            raise self._damaged(self.path, error) from error

    def json(self, name: str, limit: int) -> tuple[Any, int]:
        """Read a JSON file; give what it says and its size. Raises DamagedStoreError."""
        data = self._data(name, limit)
        where = self.place(name)
        if not data.strip():
            raise DamagedStoreError(where, "is empty")
        try:
            return json.loads(data.decode()), len(data)
        except UnicodeDecodeError as error:
            raise DamagedStoreError(where, "is not UTF-8") from error
        except RecursionError as error:
            raise DamagedStoreError(where, "is nested too deeply") from error
        except ValueError as error:
            # Without what stands there: that may be a secret.
            what = error.msg if isinstance(error, json.JSONDecodeError) else "a number too long"
            raise DamagedStoreError(where, f"is not valid JSON: {what}") from error

    def _data(self, name: str, limit: int) -> bytes:
        with self._opened(name, _FILE) as descriptor:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DamagedStoreError(self.place(name), "is not a file")
            try:
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    data = file.read(limit + 1)
            except OSError as error:
                raise self._damaged(self.place(name), error) from error
        if len(data) > limit:
            raise DamagedStoreError(self.place(name), f"is larger than {limit:,} bytes")
        return data

    @contextmanager
    def _opened(self, name: str, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            facts = self._facts(name)
            if facts is not None and stat.S_ISLNK(facts.st_mode):
                what = "is a symbolic link; links are not followed"
                raise DamagedStoreError(self.place(name), what) from error
            raise self._damaged(self.place(name), error) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _damaged(where: str, error: OSError) -> DamagedStoreError:
        reason = (error.strerror or "unknown error").lower()
        return DamagedStoreError(where, f"cannot be read: {reason}")


@contextmanager
def opened_store(path: Path) -> Iterator[Folder]:
    """Open a store's own folder; this one path may lead over links. Raises DamagedStoreError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise DamagedStoreError(shown(str(path)), f"cannot be opened: {why}") from error
    try:
        yield Folder(descriptor)
    finally:
        os.close(descriptor)
