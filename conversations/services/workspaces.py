"""The folders that sandboxes mount at /workspace: one a conversation, below DATA_DIR."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import UUID

from django.conf import settings

from conversations.exceptions import HandrailError

#: Seconds for each of the two steps of a removal; a later sweep tries again.
REMOVE_SECONDS = 120.0


class WorkspaceNotRemovedError(HandrailError):
    """A workspace could not be removed."""

    code = "workspace_not_removed"


def workspaces_root() -> Path:
    """Give the folder of all workspaces; it need not exist."""
    return Path(settings.DATA_DIR) / "workspaces"


def workspace_path(conversation_id: UUID) -> Path:
    """Give the folder of a conversation; it need not exist."""
    return workspaces_root() / conversation_id.hex


def workspace_ensure(conversation_id: UUID) -> Path:
    """Give the folder of a conversation, made if need be, closed to the machine's other users."""
    path = workspace_path(conversation_id)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def workspace_remove(conversation_id: UUID) -> None:
    """Remove the folder of a conversation and all in it. Idempotent.

    By the system's own tools: what ran in the sandbox may have nested folders deeper than a
    recursion goes, and closed them to their owner. Raises WorkspaceNotRemovedError.
    """
    folder_remove(workspace_path(conversation_id))


def folder_remove(path: Path) -> None:
    """Remove a folder below the workspaces, or a link in its place, never what the link names.

    Raises WorkspaceNotRemovedError.
    """
    try:
        _remove(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkspaceNotRemovedError(str(error)) from error


def _remove(path: Path) -> None:
    if path.is_symlink():
        # chmod would follow it.
        path.unlink(missing_ok=True)
    if not path.exists():
        return
    said = b""
    for command in (["chmod", "-R", "u+rwX", "--", str(path)], ["rm", "-rf", "--", str(path)]):
        said = subprocess.run(  # noqa: S603  # our own command line
            command, capture_output=True, timeout=REMOVE_SECONDS, check=False
        ).stderr
    if path.exists():
        raise WorkspaceNotRemovedError(said.decode(errors="replace")[-500:])
