"""The folders that sandboxes mount at /workspace: one a conversation, below DATA_DIR."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings


def workspace_path(conversation_id: UUID) -> Path:
    """Give the folder of a conversation; it need not exist."""
    return Path(settings.DATA_DIR) / "workspaces" / conversation_id.hex


def workspace_ensure(conversation_id: UUID) -> Path:
    """Give the folder of a conversation, made if need be, closed to the machine's other users."""
    path = workspace_path(conversation_id)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def workspace_remove(conversation_id: UUID) -> None:
    """Remove the folder of a conversation and all in it. Idempotent; raises OSError."""
    path = workspace_path(conversation_id)

    def open_and_retry(remove: Callable[[str], Any], name: str, _: object) -> None:
        # What ran in the sandbox may have closed a folder to its owner, that is to us.
        Path(name).parent.chmod(stat.S_IRWXU)
        if not Path(name).is_symlink():
            Path(name).chmod(stat.S_IRWXU)
        remove(name)

    if path.exists():
        shutil.rmtree(path, onerror=open_and_retry)
