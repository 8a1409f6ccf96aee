"""Names each request, and the conversation it is about, in every line that is logged for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

HEADER: Final = "X-Request-ID"
#: What a proxy in front may call a request; anything else could forge lines of the log.
_GIVEN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class RequestLog:
    """Binds the request's id for as long as it is handled, and gives it back in the answer.

    Each request has a context of its own (the WSGI bridge copies one), so nothing is unbound here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        given = request.headers.get(HEADER, "")
        request_id = given if _GIVEN.fullmatch(given) else uuid4().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self._get_response(request)
        response.headers[HEADER] = request_id
        return response

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        """Add the conversation that the address names."""
        if "conversation_id" in named:
            conversation = str(named["conversation_id"])[:64]
            structlog.contextvars.bind_contextvars(conversation=conversation)
