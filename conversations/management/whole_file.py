"""Writes a file whole or not at all, closed to other users. It knows nothing of what is in it."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(output: Path, *, replaces: bool) -> Iterator[Path]:
    """Give an empty file beside `output`, mode 600, that takes its name when the block has ended.

    Where the block fails there is nothing new; kill -9 leaves a `.….part`. What is at `output` is
    replaced, or else FileExistsError is raised, also where it came meanwhile. Raises OSError where
    it cannot be written.
    """
    aside = output.with_name(f".{output.name[:50]}.{secrets.token_hex(8)}.part")
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield aside
        _fsync(aside)
        if replaces:
            aside.replace(output)
        else:
            name_take(aside, output)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _fsync(output.parent)


def name_take(aside: Path, output: Path, *, link: Callable[[Path, Path], None] = os.link) -> None:
    """Give a file a second name instead of its first. Raises FileExistsError where it is taken."""
    try:
        link(aside, output)
    except FileExistsError:
        raise
    except OSError:
        # Not every disk for backups has links. A death between the two lines leaves an empty file.
        os.close(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        aside.replace(output)
    else:
        aside.unlink()


def is_plain_or_absent(output: Path) -> bool:
    """Whether it may be replaced: a link, a pipe or a device would be lost. Raises OSError."""
    try:
        return stat.S_ISREG(output.lstat().st_mode)
    except FileNotFoundError:
        return True


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
