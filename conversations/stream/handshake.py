"""What a socket's address says: which conversation, and from which event on. No socket here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs
from uuid import UUID

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The query of the socket's URL."""

    #: None where it is not an id.
    conversation_id: UUID | None
    #: -1 for all events; so is anything that is not a number, such as the client's "undefined".
    latest_event_id: int


def handshake_read(query_string: str) -> Handshake:
    """Read the query; nothing in it is an error here."""
    query = parse_qs(query_string)
    conversation_id = query.get("conversation_id", [""])[-1]
    latest = query.get("latest_event_id", [""])[-1]
    return Handshake(
        conversation_id=UUID(hex=conversation_id) if _ID.fullmatch(conversation_id) else None,
        latest_event_id=int(latest) if _NUMBER.fullmatch(latest) else -1,
    )
