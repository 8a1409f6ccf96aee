"""What an address of the console names: an id, a place in the list. Odd ones name nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from conversations.selectors import PageKey

_ID: Final = re.compile(
    r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}"
)
_PART: Final = re.compile(r"[0-9a-f]{5,31}", re.ASCII)
_PLACE: Final = re.compile(r"(\d{1,18})-([0-9a-f]{32})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEX: Final = 32


def id_read(text: str) -> UUID | None:
    """Read a conversation's id, with or without dashes."""
    return UUID(text) if _ID.fullmatch(text) else None


def id_range(text: str) -> tuple[UUID, UUID] | None:
    """Read the beginning of an id, five hex digits or more: the lowest and the highest it fits."""
    digits = text.lower().replace("-", "")
    if not _PART.fullmatch(digits):
        return None
    return UUID(digits.ljust(_HEX, "0")), UUID(digits.ljust(_HEX, "f"))


def place_write(key: PageKey) -> str:
    """Write a place in the list for an address."""
    created_at, conversation_id = key
    return f"{(created_at - _EPOCH) // timedelta(microseconds=1)}-{conversation_id.hex}"


def place_read(text: str) -> PageKey | None:
    """Read what `place_write` has written."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(match[1])), UUID(match[2])
    except OverflowError:
        return None
