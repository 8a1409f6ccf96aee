"""JSON request bodies, read without surprises. It knows no field and no view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO


class StrictJSONParser(JSONParser):
    """UTF-8, whatever charset the request names: JSON has no other (RFC 8259). NaN is refused."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read one JSON value; raises ParseError for everything else."""
        try:
            return super().parse(
                stream, media_type, {**(parser_context or {}), "encoding": "utf-8"}
            )
        except RecursionError as error:
            # Python's parser goes down one call a bracket; no client needs what it cannot reach.
            msg = "JSON parse error - nested too deeply"
            raise ParseError(msg) from error
