"""Keyset pages: a page's id is the place of its predecessor's last row. No offsets, no tables."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conversations.selectors import PageKey

_FORM = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def page_id(key: PageKey) -> str:
    """Write the place of a row as 32 characters that need no escaping in a URL."""
    created_at, conversation_id = key
    packed = _FORM.pack((created_at - _EPOCH) // _MICROSECOND, conversation_id.bytes)
    return base64.urlsafe_b64encode(packed).decode("ascii")


@extend_schema_field({"type": "string", "pattern": "^([A-Za-z0-9_-]{32})?$"})
class PageIdField(serializers.Field[PageKey | None, Any, Any, Any]):
    """A `next_page_id` as it was given out. Empty means the first page, as in the original."""

    def to_internal_value(self, data: Any) -> PageKey | None:
        """Read what `page_id` has written."""
        if data == "":
            return None
        try:
            packed = base64.b64decode(data.encode("ascii"), altchars=b"-_", validate=True)
            microseconds, raw_id = _FORM.unpack(packed)
            return _EPOCH + timedelta(microseconds=microseconds), UUID(bytes=raw_id)
        except (ValueError, binascii.Error, struct.error, OverflowError) as error:
            msg = "is not a next_page_id of an earlier answer; leave it out for the first page"
            raise serializers.ValidationError(msg, code="invalid_page_id") from error
