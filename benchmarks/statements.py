"""The SQL of a request: caught as the product sends it, sent again by the bare driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection, connections

#: How they begin; the log's begin WITH something, on PostgreSQL behind their own BEGIN.
_WRITES: Final = ("INSERT", "UPDATE", "WITH", "BEGIN;")
#: Gives a new value each time in place of a caught one: a number or id that may be stored once.
Fresh = Mapping[Any, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with its parameters, as Django hands them to the driver."""

    text: str
    parameters: tuple[Any, ...]

    @property
    def writes(self) -> bool:
        """Whether it changes a row."""
        return self.text.startswith(_WRITES)


def statements_of(work: Callable[[], object]) -> list[Statement]:
    """Give what `work` sends to the database, transaction control left out.

    Raises AssertionError where that is nothing: a floor of nothing would look well.
    """
    caught: list[Statement] = []

    def catch(
        execute: Callable[..., Any],
        text: str,
        parameters: Sequence[Any] | None,
        many: bool,  # noqa: FBT001  # Django's
        context: dict[str, Any],
    ) -> Any:
        if text.startswith(("SELECT", *_WRITES)):
            caught.append(Statement(text, tuple(parameters or ())))
        return execute(text, parameters, many, context)

    with connection.execute_wrapper(catch):
        work()
    assert caught, "no statement was caught"
    return caught


def replay(
    statements: Sequence[Statement], *, alias: str = "default", fresh: Fresh | None = None
) -> Callable[[], None]:
    """Give a call that sends them again and fetches what comes; writes in one transaction.

    A single statement is its own.
    """
    on_sqlite = connections[alias].vendor == "sqlite"
    texts = [one.text.replace("%s", "?") if on_sqlite else one.text for one in statements]
    writes = [number for number, one in enumerate(statements) if one.writes]
    first_write = writes[0] if len(statements) > 1 and writes else -1
    begin = "BEGIN IMMEDIATE" if on_sqlite else "BEGIN"

    def send() -> None:
        connections[alias].ensure_connection()
        cursor = connections[alias].connection.cursor()
        values = {old: make() for old, make in (fresh or {}).items()}
        for number, (text, one) in enumerate(zip(texts, statements, strict=True)):
            if number == first_write:
                cursor.execute(begin)
            cursor.execute(text, [_swapped(value, values) for value in one.parameters])
            if cursor.description is not None:
                cursor.fetchall()
        if first_write >= 0:
            cursor.execute("COMMIT")
        cursor.close()

    return send


def _swapped(value: Any, values: dict[Any, Any]) -> Any:
    # Only numbers and ids are swapped; JSON has no hash.
    return values.get(value, value) if values and isinstance(value, int | str | UUID) else value
