"""Read a workspace from outside of its sandbox: list, one file, all of it as a zip.

What lies there was put there by an agent, and may be changed by it while we look. So a path is
walked folder by folder, each opened from the one before by its own name, and no link is followed:
whatever is swapped for a link between two steps, nothing outside is ever opened.
"""

from __future__ import annotations

import os
import stat
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final, cast

from conversations.exceptions import FileUnreadableError, WorkspaceTooLargeError
from conversations.runtime.bubblewrap import WORKSPACE
from conversations.runtime.gitignore import GitIgnore

#: Bytes of a file that is shown, and of the .gitignore that is read.
MAX_BYTES: Final = 5_000_000
MAX_IGNORE_BYTES: Final = 500_000
#: Entries of one folder that are listed.
MAX_ENTRIES: Final = 5_000
#: Files and bytes of a zip, and folders inside each other.
MAX_FILES: Final = 100_000
MAX_ZIP_BYTES: Final = 4 * 1024**3
MAX_DEPTH: Final = 200
_CHUNK: Final = 64 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without waiting: a pipe would hold us up until somebody writes into it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: What nobody looks for in a workspace, as in the original.
_HIDDEN: Final = frozenset({".git", "node_modules", "__pycache__", "lost+found", ".vscode"})
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)


def _parts(path: str) -> tuple[str, ...]:
    """Give the names on the way. Raises FileUnreadableError for what is no path inside."""
    inside = path.removeprefix(WORKSPACE) if path.startswith(f"{WORKSPACE}/") else path
    parts = tuple(part for part in inside.split("/") if part not in {"", "."})
    if ".." in parts or (path.startswith("/") and inside == path and path != WORKSPACE):
        message = f"{path[:200]!a} is outside of the workspace."
        raise FileUnreadableError(message)
    if path == WORKSPACE:
        return ()
    if "\0" in path or len(parts) > MAX_DEPTH:
        message = f"{path[:200]!a} is not a path."
        raise FileUnreadableError(message)
    return parts


@contextmanager
def _folder(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """Open a folder; every step starts from the folder before. Raises OSError."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in parts:
            following = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
        yield descriptor
    finally:
        os.close(descriptor)


def _read(root: Path, parts: tuple[str, ...], limit: int) -> bytes:
    """Read a regular file. Raises OSError, or FileUnreadableError that says what it is."""
    with _folder(root, parts[:-1]) as folder:
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            message = f"{'/'.join(parts)[:200]} is not a file."
            raise FileUnreadableError(message)
        data = file.read(limit + 1)
    if len(data) > limit:
        message = f"{'/'.join(parts)[:200]} is larger than {limit:,} bytes."
        raise FileUnreadableError(message)
    return data


def _shown(name: str) -> str:
    """Give a name that JSON can hold; a file may be called by bytes that are no text."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _reason(path: str, error: Exception) -> FileUnreadableError:
    what = error.strerror if isinstance(error, OSError) else "it is not a path"
    return FileUnreadableError(f"{path[:200]!a} cannot be read: {what}.")


def file_text(root: Path, path: str) -> str:
    """Give a file's text. Raises FileUnreadableError for whatever else `path` names."""
    parts = _parts(path)
    try:
        if not parts:
            raise IsADirectoryError(21, os.strerror(21))
        return _read(root, parts, MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        message = f"{path[:200]!a} is not a text file in UTF-8."
        raise FileUnreadableError(message) from error
    except (OSError, ValueError) as error:
        raise _reason(path, error) from error


def folder_list(root: Path, path: str = "") -> list[str]:
    """Give the paths in a folder, folders first and with a `/`, without what .gitignore leaves out.

    Nothing where no workspace was made yet. Raises FileUnreadableError.
    """
    parts = _parts(path)
    try:
        with _folder(root, parts) as descriptor, os.scandir(descriptor) as entries:
            found = sorted(
                (not entry.is_dir(follow_symlinks=False), entry.name.casefold(), entry.name)
                for _, entry in zip(range(MAX_ENTRIES), entries, strict=False)
            )
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not parts:
            return []
        raise _reason(path, error) from error
    ignored = _gitignore(root)
    if parts and ignored.leaves_out(parts, is_folder=True):
        return []
    return [
        "/".join(_shown(part) for part in (*parts, name)) + ("" if is_file else "/")
        for is_file, _, name in found
        if not (not is_file and name in _HIDDEN)
        and not ignored.leaves_out_itself((*parts, name), is_folder=not is_file)
    ]


def _gitignore(root: Path) -> GitIgnore:
    try:
        return GitIgnore(_read(root, (".gitignore",), MAX_IGNORE_BYTES).decode(errors="replace"))
    except (OSError, FileUnreadableError):
        return GitIgnore("")


@dataclass(frozen=True, slots=True)
class _Found:
    parts: tuple[str, ...]
    facts: os.stat_result


def _files(root: Path) -> Iterator[_Found]:
    """Walk all regular files, in order, and no link. What vanishes meanwhile is left out."""
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with _folder(root, parts) as descriptor:
                names = sorted(os.listdir(descriptor))  # noqa: PTH208  # by descriptor
                found = [_facts(name, descriptor) for name in names]
        except OSError:
            continue
        folders = []
        for name, facts in zip(names, found, strict=True):
            if facts is not None and stat.S_ISREG(facts.st_mode):
                yield _Found((*parts, name), facts)
            elif facts is not None and stat.S_ISDIR(facts.st_mode) and len(parts) < MAX_DEPTH:
                folders.append((*parts, name))
        waiting += reversed(folders)


def _facts(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None


class _Sink:
    """Takes what the archive writes, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Hold nothing back."""

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def workspace_zip(root: Path) -> Iterator[bytes]:
    """Give a workspace as a zip, piece by piece, in bounded memory. Links are left out.

    Raises WorkspaceTooLargeError at once, before anything is sent.
    """
    files, size = 0, 0
    for found in _files(root):
        files, size = files + 1, size + found.facts.st_size
        if files > MAX_FILES or size > MAX_ZIP_BYTES:
            raise WorkspaceTooLargeError
    return _zipped(root)


def _zipped(root: Path) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for found in islice(_files(root), MAX_FILES):
            try:
                with _folder(root, found.parts[:-1]) as folder:
                    descriptor = os.open(found.parts[-1], _FILE, dir_fd=folder)
            except OSError:
                continue
            with os.fdopen(descriptor, "rb") as file:
                facts = os.fstat(descriptor)
                if stat.S_ISREG(facts.st_mode):
                    yield from _packed(archive, sink, _entry(found.parts, facts), file)
    yield sink.take()


def _entry(parts: tuple[str, ...], facts: os.stat_result) -> zipfile.ZipInfo:
    # A backslash in a name is a folder's end to those who unpack it elsewhere.
    name = "/".join(_shown(part) for part in parts).replace("\\", "_")
    entry = zipfile.ZipInfo(name, max(time.gmtime(facts.st_mtime)[:6], _OLDEST))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = stat.S_IMODE(facts.st_mode) << 16
    entry.file_size = facts.st_size
    return entry


def _packed(
    archive: zipfile.ZipFile, sink: _Sink, entry: zipfile.ZipInfo, file: IO[bytes]
) -> Iterator[bytes]:
    # No more than it had: a file may grow for as long as we read it.
    left = entry.file_size
    with archive.open(entry, "w", force_zip64=True) as packed:
        while left > 0 and (data := file.read(min(_CHUNK, left))):
            packed.write(data)
            left -= len(data)
            if ready := sink.take():
                yield ready
