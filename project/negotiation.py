"""JSON in, JSON out, whatever a client says it wants. It knows no field and no view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.negotiation import DefaultContentNegotiation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.parsers import BaseParser
    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request


class JSONNegotiation(DefaultContentNegotiation):
    """As the original: a body without a type is JSON, and Accept is not looked at."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Take JSON where no type is named; a type that is another one is refused (415)."""
        return (
            super().select_parser(request, parsers) if request.content_type else next(iter(parsers))
        )

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        """Take the one that there is."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type
