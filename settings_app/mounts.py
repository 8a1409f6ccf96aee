"""Which file system a folder lies on, by the kernel's table of mounts. It knows no setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: Types whose files another machine serves. Locks and shared memory, on which SQLite's write-ahead
#: log stands, don't hold there (https://www.sqlite.org/wal.html), or only seem to.
_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "coda", "davfs", "ncpfs"),
        *("glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2"),
        # Folders that a virtual machine's host shares.
        *("vboxsf", "vmhgfs", "prl_fs"),
    }
)
#: The same by programs: `fuse.` and one of these.
_FUSE: Final = frozenset(
    {
        *("sshfs", "glusterfs", "ceph", "ceph-fuse", "juicefs", "gcsfuse", "s3fs", "rclone"),
        *("davfs", "mount.davfs", "vmhgfs-fuse", "curlftpfs", "smbnetfs", "blobfuse2", "mount-s3"),
    }
)
_MOUNTS: Final = Path("/proc/self/mounts")


def mounts_read() -> str:
    """Give the kernel's table of mounts, "" where there is none."""
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def network_type(path: Path, mounts: str) -> str:
    """Give the type of the network file system that a path lies on; "" where it is a local one.

    `mounts` is the kernel's table: a line a mount, with device, folder and type in front.
    """
    place = path.resolve()
    found, kind = Path(), ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004  # device, folder, type
            continue
        folder = Path(_unescaped(fields[1]))
        # Of two on one folder the later one is seen.
        if place.is_relative_to(folder) and len(folder.parts) >= len(found.parts):
            found, kind = folder, fields[2]
    is_network = kind in _NETWORK or kind.removeprefix("fuse.") in _FUSE
    return kind if is_network else ""


def _unescaped(folder: str) -> str:
    """Give a folder's name as it is: blanks and the like stand there as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), folder)
