"""Compares the workspaces on disk with the conversations in the database, both ways."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

from conversations.models import Conversation, EventRecord
from conversations.services.workspaces import (
    WorkspaceNotRemovedError,
    folder_remove,
    workspace_path,
    workspaces_root,
)

#: Conversations that one query asks for.
BATCH: Final = 200
#: A folder changed so lately is left alone: somebody may be about to store its conversation.
YOUNG_SECONDS: Final = 600.0
_OURS: Final = re.compile(r"[0-9a-f]{32}")
#: Renamed so before it is removed: whoever kills the removal leaves no half of a workspace.
_REMOVING: Final = re.compile(r"[0-9a-f]{32}\.removing")


@dataclass(frozen=True, slots=True)
class Stray:
    """A folder without a conversation."""

    path: Path
    #: A run that was killed has begun to remove it.
    begun: bool


def strays() -> Iterator[Stray]:
    """Give the folders of our naming whose conversation is gone. Never a link, never a file.

    The database is asked after the folder was seen, and a conversation is stored before its folder
    is made: what is just being created is never among them.
    """
    entries = _folders()
    while batch := list(islice(entries, BATCH)):
        ours = {UUID(entry.name): entry for entry in batch if _OURS.fullmatch(entry.name)}
        known = set(Conversation.objects.filter(pk__in=list(ours)).values_list("pk", flat=True))
        for entry in batch:
            if _REMOVING.fullmatch(entry.name):
                yield Stray(Path(entry.path), begun=True)
            elif entry.name in {pk.hex for pk in ours if pk not in known} and not _is_young(entry):
                yield Stray(Path(entry.path), begun=False)


def _folders() -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(workspaces_root()) as entries:
            for entry in entries:
                named = _OURS.fullmatch(entry.name) or _REMOVING.fullmatch(entry.name)
                if named and entry.is_dir(follow_symlinks=False):
                    yield entry
    except FileNotFoundError:
        return  # nobody has ever had one


def _is_young(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime > time.time() - YOUNG_SECONDS
    except FileNotFoundError:
        return True  # it is gone already


def stray_remove(stray: Stray) -> None:
    """Remove it. Raises WorkspaceNotRemovedError."""
    path = stray.path
    try:
        if not stray.begun:
            path = path.rename(path.with_name(f"{path.name}.removing"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceNotRemovedError(str(error)) from error
    folder_remove(path)


def missing_workspaces() -> Iterator[UUID]:
    """Give the conversations that have run commands and have no workspace any more."""
    page = Conversation.objects.alive().order_by("pk").values_list("pk", flat=True)
    batch = list(page[:BATCH])
    while batch:
        yield from _without_workspace(batch)
        batch = list(page.filter(pk__gt=batch[-1])[:BATCH])


def _without_workspace(batch: Iterable[UUID]) -> Iterator[UUID]:
    missing = [pk for pk in batch if not workspace_path(pk).exists()]
    if not missing:
        return
    ran = EventRecord.objects.filter(conversation__in=missing, observation="run")
    for pk in ran.order_by("conversation").values_list("conversation", flat=True).distinct():
        # Once more: its first command may have come in between, or its end.
        alive = Conversation.objects.alive().filter(pk=pk)
        if not workspace_path(pk).exists() and alive.exists():
            yield pk
