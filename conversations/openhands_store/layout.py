"""Where what lies in a store: conversations of nobody in particular, and of signed-in users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from conversations.exceptions import DamagedStoreError
from conversations.openhands_store.files import Folder, shown

SESSIONS, USERS, CONVERSATIONS, SETTINGS = "sessions", "users", "conversations", "settings.json"
_ID = re.compile(r"[0-9a-f]{32}", flags=re.ASCII)
#: What file managers leave everywhere; nobody's work.
_IGNORED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".gitkeep"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a conversation lies, or what is no conversation though it lies there."""

    #: The names on the way to its folder.
    parts: tuple[str, ...]
    #: The signed-in user of the original; None for those below `sessions`.
    user_id: str | None = None
    #: What is wrong with it; empty for nothing that is seen from outside.
    problem: str = ""

    @property
    def path(self) -> str:
        """Give the place for people."""
        return "/".join(shown(part) for part in self.parts)

    @property
    def conversation_id(self) -> UUID:
        """Give the id; only where there is no problem."""
        return UUID(self.parts[-1])


def is_store(store: Folder) -> bool:
    """Whether a folder looks like a store at all."""
    return any(store.has(name) for name in (SESSIONS, USERS, SETTINGS))


@contextmanager
def walked(folder: Folder, parts: tuple[str, ...]) -> Iterator[Folder]:
    """Open a folder below another, name by name. Raises DamagedStoreError."""
    if not parts:
        yield folder
        return
    with folder.folder(parts[0]) as following, walked(following, parts[1:]) as last:
        yield last


def places(store: Folder) -> list[Place]:
    """Give all that lies where conversations lie, in order. Memory: the names only."""
    found: list[Place] = []
    if store.has(SESSIONS):
        found += _below(store, (SESSIONS,), None)
    if store.has(USERS):
        with suppress(DamagedStoreError), store.folder(USERS) as users:
            for user_id in users.names():
                if not users.is_file(user_id):
                    found += _below(store, (USERS, user_id, CONVERSATIONS), user_id)
            return found
        found.append(Place(parts=(USERS,), problem="is not a folder that can be read"))
    return found


def _below(store: Folder, parts: tuple[str, ...], user_id: str | None) -> list[Place]:
    try:
        with walked(store, parts[:-1]) as above:
            if user_id is not None and not above.has(parts[-1]):
                return []
            with above.folder(parts[-1]) as folder:
                names = folder.names()
    except DamagedStoreError as error:
        return [Place(parts=parts, user_id=user_id, problem=error.what)]
    return [
        Place(
            parts=(*parts, name),
            user_id=user_id,
            problem="" if _ID.fullmatch(name) else "its name is no id (32 lower-case hex digits)",
        )
        for name in names
        if name not in _IGNORED
    ]
