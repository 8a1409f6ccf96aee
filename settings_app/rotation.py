"""Re-encrypt every stored secret with the first key. It knows no terminal and no request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import TextField, Value
from django.db.models.functions import Cast
from django.db.models.lookups import Exact

from settings_app.crypto import decrypt, encrypt, is_current
from settings_app.exceptions import SecretUnreadableError
from settings_app.models import SECRET_COLUMNS, UserSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: How often a row is tried that a save overtakes each time. A save by a server that has the new key
#: leaves nothing to do, so the second try is the last but where a server still has the old ring.
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSecret:
    """A stored secret that no key of the ring reads. It was left as it is."""

    user_id: int
    column: str
    #: For people; it names the setting, the user and the column, never the value.
    message: str


@dataclass(slots=True, kw_only=True)
class Rotation:
    """What a rotation has done so far, or would have done. All count rows, but for `unreadable`."""

    read: int = 0
    reencrypted: int = 0
    #: Nothing to do: the first key reads what is stored, or nothing is.
    current: int = 0
    #: Another write came between the read and the write: it was kept, and the row tried again.
    overtaken: int = 0
    #: Of the overtaken ones: those that were not settled in TRIES tries.
    unsettled: int = 0
    #: Secrets, not rows.
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    user_id: int
    #: Column to its text in the database, unread.
    stored: Mapping[str, str]


def secrets_rotate(
    *, batch_size: int, dry_run: bool, unreadable_tell: Callable[[UnreadableSecret], None]
) -> Rotation:
    """Re-encrypt with the first key what it does not read yet; a dry run writes nothing.

    Each row is one statement of its own: saves meanwhile are waited for by nobody and lost by
    nobody, and after a death the next run does the rest. Unreadable secrets are told as they are
    found: there may be as many as there are rows.
    """
    rotation = Rotation()
    for row in _rows(batch_size):
        rotation.read += 1
        for unreadable in _settle(row, rotation, dry_run=dry_run):
            rotation.unreadable += 1
            unreadable_tell(unreadable)
    return rotation


def _settle(row: _Row, rotation: Rotation, *, dry_run: bool) -> list[UnreadableSecret]:
    """Do one row and count it; give what in it cannot be read, once the row is settled."""
    for attempt in range(TRIES):
        anew, unreadable = _encrypted_anew(row)
        if not anew:
            rotation.current += not unreadable
            return unreadable
        if dry_run or _swap(row, anew):
            rotation.reencrypted += 1
            return unreadable
        rotation.overtaken += attempt == 0
        found = _row_of(row.user_id)
        if found is None:
            return []  # the user was deleted
        row = found
    rotation.unsettled += 1
    return []


def _encrypted_anew(row: _Row) -> tuple[dict[str, str], list[UnreadableSecret]]:
    """Give the texts to store, by column, and what cannot be read."""
    anew: dict[str, str] = {}
    unreadable: list[UnreadableSecret] = []
    for column, stored in row.stored.items():
        if is_current(stored):
            continue
        try:
            anew[column] = encrypt(decrypt(stored, name=f"{column} of user {row.user_id}"))
        except SecretUnreadableError as error:
            unreadable.append(
                UnreadableSecret(user_id=row.user_id, column=column, message=str(error))
            )
    return anew, unreadable


def _swap(row: _Row, anew: Mapping[str, str]) -> bool:
    """Store the new texts where the old ones still stand; whether they did.

    A text never has the same ciphertext twice: where it still stands, nobody has saved.
    """
    # updated_at stays: the user has changed nothing.
    return bool(
        UserSettings.objects.filter(
            *(Exact(_raw(column), Value(row.stored[column])) for column in anew), pk=row.user_id
        ).update(**{column: Value(text, TextField()) for column, text in anew.items()})
    )


def _raw(column: str) -> Cast:
    # The field would decrypt on the way out and refuse to be compared; plain text does neither.
    return Cast(column, TextField())


def _rows(batch_size: int) -> Iterator[_Row]:
    """Give all rows in the order of their keys, a batch in memory at a time."""
    queryset = UserSettings.objects.order_by("pk").values_list("pk", *map(_raw, SECRET_COLUMNS))
    page = queryset
    while batch := [_row(values) for values in page[:batch_size]]:
        yield from batch
        if len(batch) < batch_size:
            return
        page = queryset.filter(pk__gt=batch[-1].user_id)


def _row_of(user_id: int) -> _Row | None:
    queryset = UserSettings.objects.filter(pk=user_id)
    values = queryset.values_list("pk", *map(_raw, SECRET_COLUMNS)).first()
    return None if values is None else _row(values)


def _row(values: tuple[int, *tuple[str, ...]]) -> _Row:
    user_id, *stored = values
    return _Row(user_id, dict(zip(SECRET_COLUMNS, stored, strict=True)))
