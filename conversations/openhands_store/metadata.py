"""`metadata.json` of a stored conversation: title, times, repository, cost so far."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, NoReturn

from conversations.agent.llm import Usage
from conversations.events.base import JSONObject
from conversations.events.cleaning import clean
from conversations.exceptions import DamagedStoreError
from conversations.openhands_store.files import MAX_METADATA_BYTES, Folder

METADATA = "metadata.json"
#: The longest text that a column takes, and the largest number that a float keeps whole.
MAX_TEXT, MAX_NUMBER = 255, 2**53
_DEFAULT_TITLE = re.compile(r"Conversation [0-9a-f]{5}", flags=re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What the original knew of a conversation beside its events."""

    title: str
    #: Whether the title is one that the original gives to every new conversation.
    title_is_default: bool
    selected_repository: str
    selected_branch: str
    #: None where the original had not written it.
    created_at: datetime | None
    last_updated_at: datetime | None
    usage: Usage


def metadata_read(folder: Folder, conversation_id: str) -> Metadata:
    """Read it. Raises DamagedStoreError: without it title, times and owner would be made up."""
    data, _ = folder.json(METADATA, MAX_METADATA_BYTES)
    fields = _Fields(folder.place(METADATA), data)
    if (named := fields.text("conversation_id")) not in ("", conversation_id):
        fields.refuse(f"names another conversation: {named[:40]!a}")
    title = " ".join(fields.text("title").split())
    return Metadata(
        title=title[:MAX_TEXT],
        title_is_default=not title or bool(_DEFAULT_TITLE.fullmatch(title)),
        selected_repository=fields.short("selected_repository"),
        selected_branch=fields.short("selected_branch"),
        created_at=fields.time("created_at"),
        last_updated_at=fields.time("last_updated_at"),
        usage=Usage(
            cost=fields.number("accumulated_cost"),
            prompt_tokens=int(fields.number("prompt_tokens")),
            completion_tokens=int(fields.number("completion_tokens")),
        ),
    )


def time_of(text: Any, zone: tzinfo) -> datetime:
    """Read an ISO time; a naive one is of `zone`. Raises ValueError or OverflowError."""
    if not isinstance(text, str):
        message = "a time must be a string"
        raise ValueError(message)  # noqa: TRY004  # one error for whatever is no time
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number that is not negative and fits a column."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= MAX_NUMBER


class _Fields:
    """The fields of one file; a wrong type is damage, an absent one or null is not."""

    def __init__(self, where: str, data: Any) -> None:
        self._where = where
        if not isinstance(data, dict):
            self.refuse("is not a JSON object")
        self._data: JSONObject = data

    def refuse(self, what: str) -> NoReturn:
        raise DamagedStoreError(self._where, what)

    def text(self, name: str) -> str:
        value = self._data.get(name)
        if not isinstance(value, str | None):
            self.refuse(f"{name} is not a string")
        return str(clean(value or ""))

    def short(self, name: str) -> str:
        value = self.text(name)
        if len(value) > MAX_TEXT:
            self.refuse(f"{name} is longer than {MAX_TEXT} characters")
        return value

    def time(self, name: str) -> datetime | None:
        value = self._data.get(name)
        if value is None:
            return None
        try:
            return time_of(value, UTC)
        except (ValueError, OverflowError):
            self.refuse(f"{name} is not a time")

    def number(self, name: str) -> float:
        value = self._data.get(name)
        if value is None:
            return 0
        if not is_number(value):
            self.refuse(f"{name} is not a number from 0 on")
        return float(value)
