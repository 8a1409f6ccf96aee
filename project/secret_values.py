"""What a secret's value must look like. It shows none, and knows no environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

#: What may stand behind `Authorization: Bearer` (RFC 6750).
_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def secret_read(name: str, file: str) -> str:
    """Give what the file says that NAME_FILE names. Raises ImproperlyConfigured."""
    try:
        value = Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        msg = f"{name}_FILE={file!r}: the file cannot be read ({error})."
        raise ImproperlyConfigured(msg) from error
    if not value:
        msg = f"{name}_FILE={file!r}: the file is empty."
        raise ImproperlyConfigured(msg)
    return value


def key_ring_parse(text: str) -> tuple[str, ...]:
    """Give the keys of FIELD_ENCRYPTION_KEYS. Raises ImproperlyConfigured."""
    keys = tuple(re.split(r"[,\s]+", text.strip(" ,\n\r\t")))
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError as error:
            msg = (
                f"FIELD_ENCRYPTION_KEYS: key {position} of {len(keys)} is not 32 bytes in URL-safe "
                "base64 (the value is not shown). Fernet.generate_key() of cryptography makes one."
            )
            raise ImproperlyConfigured(msg) from error
    return keys


def bearer_token_check(name: str, token: str) -> str:
    """Give a token that fits into a header; "" stays so. Raises ImproperlyConfigured."""
    if token and not _BEARER.fullmatch(token):
        msg = (
            f"{name}: it is sent in a header, so it may have letters, digits and -._~+/ only (the "
            "value is not shown). `openssl rand -hex 32` makes one."
        )
        raise ImproperlyConfigured(msg)
    return token
