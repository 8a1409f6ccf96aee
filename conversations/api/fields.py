"""Fields that take what JSON says and convert nothing. No model, no service."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_MOST_DIGITS, _TOO_MUCH = 19, 2**63
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UNSTORABLE_SAID = "must not contain NUL characters or lone surrogates"


def _refuse(wanted: str, value: object) -> NoReturn:
    msg = f"must be {wanted}, not {type(value).__name__}"
    raise serializers.ValidationError(msg, code="type_error")


class HeaderError(serializers.ValidationError):
    """A header of the request is wrong: 422, as for a field."""

    place = "header"


class TextField(serializers.CharField):
    """A JSON string; a plain CharField takes numbers too and trims what a user typed."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        super().__init__(allow_blank=True, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Refuse what is not text, or holds characters that no database keeps."""
        if isinstance(data, str):
            if _UNSTORABLE.search(data):
                raise serializers.ValidationError(_UNSTORABLE_SAID, code="unstorable_character")
        elif data is not None and data is not serializers.empty:
            _refuse("a string", data)
        return super().run_validation(data)


class DigitsField(serializers.IntegerField):
    """A whole number from 0 in a query; a plain IntegerField takes 1_0, +5 and 1.0 too."""

    def to_internal_value(self, data: Any) -> int:
        """Take digits, however many."""
        if not _DIGITS.fullmatch(data):
            msg = "must be a whole number, in digits"
            raise serializers.ValidationError(msg, code="invalid")
        # Python refuses to convert thousands of digits.
        return int(data) if len(data) <= _MOST_DIGITS else _TOO_MUCH


class LimitField(DigitsField):
    """How many items a page holds: 20, or what is asked for; more than 100 is taken as 100."""

    def __init__(self) -> None:
        super().__init__(
            default=DEFAULT_LIMIT,
            min_value=1,
            help_text="Items of a page; more than 100 is taken as 100.",
        )

    def to_internal_value(self, data: Any) -> int:
        """Clamp."""
        return min(super().to_internal_value(data), MAX_LIMIT)


@extend_schema_field(
    {
        "anyOf": [
            {"type": "string", "maxLength": 255},
            {
                "type": "object",
                "required": ["full_name"],
                "properties": {
                    "full_name": {
                        "type": "string",
                        "maxLength": 255,
                        "description": "The repository's name, owner/name.",
                    }
                },
            },
        ]
    }
)
class RepositoryField(serializers.Field[str, Any, Any, Any]):
    """The web client's repository object, or its full name as a plain string; kept as the name."""

    def to_internal_value(self, data: Any) -> str:
        """Give owner/name."""
        name = data.get("full_name") if isinstance(data, dict) else data
        if not isinstance(name, str):
            msg = "must be an object with full_name, or a string owner/name"
            raise serializers.ValidationError(msg, code="type_error")
        if _UNSTORABLE.search(name):
            raise serializers.ValidationError(_UNSTORABLE_SAID, code="unstorable_character")
        if len(name) > 255:  # noqa: PLR2004  # the column's length
            msg = "must be a name of at most 255 characters"
            raise serializers.ValidationError(msg, code="max_length")
        return name.strip()
