"""What is taken out of an event before it is stored: secrets, and characters no database keeps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

MASK = "**********"
#: A shorter "secret" would be found inside ordinary words and make the log unreadable.
MIN_SECRET_LENGTH = 6
# PostgreSQL's JSON takes no NUL, UTF-8 no lone surrogate; both come out of commands and models.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _clean_text(text: str, secrets: Iterable[str]) -> str:
    text = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def maskable(secrets: Iterable[str]) -> tuple[str, ...]:
    """Give the secrets worth masking, the longest first: one may contain another."""
    long_enough = {secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH}
    return tuple(sorted(long_enough, key=len, reverse=True))


def clean(value: Any, secrets: tuple[str, ...] = ()) -> Any:
    """Copy a JSON value with every secret masked and every unstorable character replaced."""
    if isinstance(value, str):
        return _clean_text(value, secrets)
    if isinstance(value, dict):
        return {_clean_text(str(key), secrets): clean(item, secrets) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no infinity; databases refuse it
    if isinstance(value, list | tuple):
        return [clean(item, secrets) for item in value]
    return value
