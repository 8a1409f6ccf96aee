"""How much a workspace takes on the disk, by a walk that ends. It follows no link."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_ENTRIES: Final = 20_000


@dataclass(frozen=True, slots=True)
class WorkspaceSize:
    """Bytes and files seen; `complete` is false where the walk was cut short."""

    bytes: int
    files: int
    complete: bool


def workspace_size(root: Path, *, until: float, entries: int = MAX_ENTRIES) -> WorkspaceSize:
    """Add up the files below `root`, up to so many entries and a moment of the monotonic clock."""
    total = files = seen = 0
    folders = [str(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    seen += 1
                    if seen > entries or time.monotonic() > until:
                        return WorkspaceSize(total, files, complete=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
                        files += 1
        except OSError:
            # Not there yet, gone meanwhile, or closed: what cannot be seen is not counted.
            continue
    return WorkspaceSize(total, files, complete=True)
