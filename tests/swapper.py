"""Swaps what lies at a path for links that lead out, as fast as it can, in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def swap_file(root: Path, outside: Path, times: int) -> None:
    """Put at `file`, by turns, a link that leads out and a real file, each in one step."""
    (root / "kept").write_text("inside")
    for number in range(times):
        if number % 2:
            os.link(root / "kept", root / "aside")
        else:
            (root / "aside").symlink_to(outside / "secret")
        (root / "aside").replace(root / "file")


def swap_folder(root: Path, outside: Path, times: int) -> None:
    """Put at `folder`, by turns, a link to a folder outside and a real folder."""
    real, link, place = root / "real", root / "link", root / "folder"
    real.mkdir()
    (real / "secret").write_text("inside")
    link.symlink_to(outside)
    for number in range(times):
        moved = link if number % 2 else real
        moved.rename(place)
        place.rename(moved)


if __name__ == "__main__":
    what, workspace, elsewhere, swaps = sys.argv[1:]
    swapping = {"file": swap_file, "folder": swap_folder}[what]
    swapping(Path(workspace), Path(elsewhere), int(swaps))
