"""Writes a file whole or not at all, closed to other users. It knows nothing of what is in it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(output: Path, *, replaces: bool) -> Iterator[Path]:
    """Give an empty file beside `output`, mode 600, that takes its name when the block has ended.

    Where the block fails there is nothing new; kill -9 leaves a `.….part`. What is at `output` is
    replaced, or else FileExistsError is raised. Raises OSError where it cannot be written.
    """
    aside = output.with_name(f".{output.name[:50]}.{secrets.token_hex(8)}.part")
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield aside
        _fsync(aside)
        _name(aside, output, replaces=replaces)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _fsync(output.parent)


def _name(aside: Path, output: Path, *, replaces: bool) -> None:
    # A link would never replace; but not every disk for backups has links.
    if not replaces and os.path.lexists(output):
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(output))
    aside.replace(output)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
