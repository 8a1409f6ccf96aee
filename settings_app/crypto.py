"""Columns that are encrypted at rest, with a key ring. It knows no model and no request."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models

from settings_app.exceptions import SecretUnreadableError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Expression
    from django.db.models.lookups import Lookup, Transform

T = TypeVar("T")
#: ValueError is for what is no token and no ASCII at all, and for what is no UTF-8 inside.
_UNREADABLE = (InvalidToken, ValueError)


@lru_cache(maxsize=8)
def _ring_of(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        msg = (
            "FIELD_ENCRYPTION_KEYS must hold one or more keys of 32 bytes in URL-safe base64: "
            f"{len(keys)} given, not all of them such keys. Make one with Fernet.generate_key()."
        )
        raise ImproperlyConfigured(msg) from error


def key_ring() -> MultiFernet:
    """Give the ring of FIELD_ENCRYPTION_KEYS: the first key writes, all of them read.

    Raises ImproperlyConfigured when the setting holds no usable ring.
    """
    return _ring_of(tuple(settings.FIELD_ENCRYPTION_KEYS))


def encrypt(text: str) -> str:
    """Encrypt a text with the first key. "" stays as it is: it says "none" without any key."""
    return key_ring().encrypt(text.encode()).decode("ascii") if text else ""


def decrypt(stored: str, *, name: str) -> str:
    """Read what `encrypt` wrote. `name` says in an error which value was meant.

    Raises SecretUnreadableError when no key of the ring reads it.
    """
    if not stored:
        return ""
    try:
        return key_ring().decrypt(stored).decode()
    except _UNREADABLE as error:
        msg = (
            f"The stored {name} cannot be read with any of the keys in FIELD_ENCRYPTION_KEYS. "
            "Put the key that wrote it back into that setting, or save the secret anew."
        )
        raise SecretUnreadableError(msg) from error


def is_current(stored: str) -> bool:
    """Whether the first key alone reads what is stored. "" needs no key at all."""
    if not stored:
        return True
    try:
        _ring_of(tuple(settings.FIELD_ENCRYPTION_KEYS[:1])).decrypt(stored)
    except _UNREADABLE:
        return False
    return True


class _EncryptedField(models.TextField[T, T]):
    """A value that is stored as encrypted text. "" is stored as it is.

    Reading raises SecretUnreadableError when the key is lost. Every lookup but `isnull` raises
    FieldError: a text has another ciphertext each time, a comparison would quietly find nothing.
    """

    def _to_text(self, value: Any) -> str:
        raise NotImplementedError

    def _from_text(self, text: str) -> T:
        raise NotImplementedError

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way into the database."""
        # NULL stays NULL: a column that may not be it is for the database to defend.
        return None if value is None else encrypt(self._to_text(value))

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Any:
        """Decrypt on the way out; raises SecretUnreadableError."""
        return None if value is None else self._from_text(decrypt(value, name=self.name))

    def get_lookup(self, lookup: str) -> type[Lookup[Any]] | None:
        """Allow `isnull` alone; raises FieldError for every other lookup."""
        return super().get_lookup(lookup) if lookup == "isnull" else self._refuse(lookup)

    def get_transform(self, lookup_name: str) -> type[Transform] | None:
        """Allow none; raises FieldError."""
        return self._refuse(lookup_name)

    def _refuse(self, lookup: str) -> NoReturn:
        msg = (
            f"{self.name} is encrypted, so the lookup '{lookup}' cannot find anything in it. "
            "Load the rows with with_secrets() and compare the values; only 'isnull' works here."
        )
        raise FieldError(msg)


class EncryptedTextField(_EncryptedField[str]):
    """Text that is stored encrypted."""

    description = "Encrypted text"

    def _to_text(self, value: Any) -> str:
        return str(value)

    def _from_text(self, text: str) -> str:
        return text


class EncryptedMapField(_EncryptedField[dict[str, str]]):
    """A map of texts that is stored as encrypted JSON. The empty map is stored as ""."""

    description = "Encrypted map of texts"

    def _to_text(self, value: Any) -> str:
        return json.dumps(value, sort_keys=True) if value else ""

    def _from_text(self, text: str) -> dict[str, str]:
        tokens: dict[str, str] = json.loads(text) if text else {}
        return tokens
