"""From an error to an HTTP answer: the one place that knows both. It knows no view."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from conversations.exceptions import (
    ConversationGoneError,
    DownloadsBusyError,
    FencedError,
    FileUnreadableError,
    HandrailError,
    IdempotencyKeyReusedError,
    InvalidInputError,
    InvalidTrajectoryError,
    LLMKeyMissingError,
    LogMovedError,
    RuntimeUnavailableError,
    SettingsNotFoundError,
    WorkspaceTooLargeError,
)
from settings_app.exceptions import SecretUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest

logger = logging.getLogger(__name__)

Body = dict[str, Any]
Place = tuple[str | int, ...]

#: Domain errors that a client can cause or cure. Any other is a fault of ours: 500, and logged.
STATUS_OF: Final[dict[type[HandrailError], int]] = {
    SettingsNotFoundError: 400,
    LLMKeyMissingError: 400,
    InvalidTrajectoryError: 422,
    InvalidInputError: 422,
    ConversationGoneError: 404,
    FileUnreadableError: 404,
    WorkspaceTooLargeError: 413,
    DownloadsBusyError: 503,
    FencedError: 409,
    LogMovedError: 409,
    IdempotencyKeyReusedError: 409,
    RuntimeUnavailableError: 503,
}
BUSY: Final = 503
RETRY_SECONDS: Final = "5"
DATABASE_AWAY: Final = (
    "The database does not answer. Try again in a moment; "
    "if this was to store something, look first whether it did."
)
INTERNAL_ERROR: Final = (
    "Internal error. The server's log has the details; try again, or tell its operator."
)


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Answer for whatever a view of the API has raised; never a traceback, never None."""
    if isinstance(exc, exceptions.ValidationError):
        return _of_validation_error(exc, context)
    if isinstance(exc, exceptions.APIException | Http404 | PermissionDenied):
        return _of_api_exception(exc)
    if isinstance(exc, HandrailError) and (status := _status_of(exc)):
        headers = {"Retry-After": RETRY_SECONDS} if status == BUSY else {}
        return Response(_domain_body(exc, status=status), status=status, headers=headers)
    if isinstance(exc, RequestDataTooBig):
        return Response({"message": "The request's body is too large."}, status=413)
    if isinstance(exc, SuspiciousOperation | UnreadablePostError):
        return Response({"message": "The request cannot be read."}, status=400)
    return _of_failure(exc)


def _of_failure(exc: Exception) -> Response:
    if isinstance(exc, OperationalError | InterfaceError):
        # It is away, restarts, or waits for a lock. A commit may have gone through before that.
        logger.error("The database did not answer: %s", _clean(str(exc)))
        headers = {"Retry-After": RETRY_SECONDS}
        return Response({"message": DATABASE_AWAY}, status=BUSY, headers=headers)
    logger.error("A view of the API failed", exc_info=exc)
    # This one alone tells its text: it names no value, and says how to cure it.
    message = str(exc) if isinstance(exc, SecretUnreadableError) else INTERNAL_ERROR
    return Response({"message": message}, status=500)


def _status_of(exc: HandrailError) -> int | None:
    return next((STATUS_OF[cls] for cls in type(exc).__mro__ if cls in STATUS_OF), None)


def _domain_body(exc: HandrailError, *, status: int) -> Body:
    match status:
        case 400:
            return {"status": "error", "message": _clean(str(exc)), "msg_id": exc.code}
        case 404 if isinstance(exc, ConversationGoneError):
            return {"error": "Session not found"}
        case 404:
            return {"error": _clean(str(exc))}
        case 422:
            return _invalid([(("body",), str(exc), exc.code)])
        case _:
            return {"message": _clean(str(exc)), "code": exc.code}


def _of_validation_error(exc: exceptions.ValidationError, context: Mapping[str, Any]) -> Response:
    request = context.get("request")
    reads = request is not None and request.method in SAFE_METHODS
    # Where nothing else is said: what can be wrong with a GET is its query.
    place = getattr(exc, "place", "query" if reads else "body")
    return Response(_invalid(list(_flat(exc.get_full_details(), (place,)))), status=422)


def _of_api_exception(exc: exceptions.APIException | Http404 | PermissionDenied) -> Response:
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    headers = {}
    # DRF sets these two on the error itself, without declaring them.
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, int(wait)))
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    message = str(exc.detail)
    if isinstance(exc, exceptions.ParseError):
        return Response(_invalid([(("body",), message, "parse_error")]), status=422)
    body: Body = {"message": _clean(message)}
    if isinstance(exc, exceptions.NotFound):
        body["error"] = body["message"]
    return Response(body, status=exc.status_code, headers=headers)


def _flat(details: Any, place: Place) -> Iterator[tuple[Place, str, str]]:
    """Walk DRF's nested errors: each with the place it stands for, its text and its code."""
    if isinstance(details, list):
        for index, item in enumerate(details):
            is_leaf = isinstance(item, dict) and set(item) == {"message", "code"}
            yield from _flat(item, place if is_leaf else (*place, index))
    elif set(details) == {"message", "code"} and isinstance(details["message"], str):
        yield place, details["message"], details["code"]
    else:
        for name, item in details.items():
            yield from _flat(item, place if name == "non_field_errors" else (*place, name))


def _invalid(errors: list[tuple[Place, str, str]]) -> Body:
    """Give the body of a 422: every error for machines, and the first one as a line for people."""
    detail = [
        {"type": code, "loc": [_clean_part(part) for part in place], "msg": _clean(text)}
        for place, text, code in errors
    ]
    place, text, _ = errors[0]
    name = ".".join(str(part) for part in place[1:]) or "body"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return {"detail": detail, "message": _clean(f"{name}: {text}{more}")}


def _clean_part(part: str | int) -> str | int:
    return _clean(part) if isinstance(part, str) else part


def _clean(text: str) -> str:
    """Give one line that UTF-8 can hold: an error may quote a lone surrogate."""
    line = " ".join(str(text).split())
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/") or request.path == "/api"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refused before any view (handler400)."""
    if isinstance(exception, RequestDataTooBig):
        return JsonResponse({"message": "The request's body is too large."}, status=413)
    if _is_api(request):
        return JsonResponse({"message": "The request cannot be read."}, status=400)
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django does not permit (handler403)."""
    if _is_api(request):
        return JsonResponse({"message": "You may not do this."}, status=403)
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for an address that nothing stands at (handler404)."""
    if _is_api(request):
        message = f"There is nothing at {_clean(request.path[:200])}."
        return JsonResponse({"error": message, "message": message}, status=404)
    return defaults.page_not_found(request, exception)


class DatabaseAway:
    """Middleware: answer for a page whose view the database has failed, without a traceback."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass it on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer where it was the database, else leave it to Django."""
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logger.error("The database did not answer: %s", _clean(str(exception)))
        return _database_away(request)


def _database_away(request: HttpRequest) -> HttpResponse:
    headers = {"Retry-After": RETRY_SECONDS}
    if _is_api(request):
        return JsonResponse({"message": DATABASE_AWAY}, status=BUSY, headers=headers)
    return HttpResponse(DATABASE_AWAY, content_type="text/plain", status=BUSY, headers=headers)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer for a failure outside the API's views (handler500); Django has logged it."""
    # Django calls this where it has caught the error.
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return _database_away(request)
    if _is_api(request):
        return JsonResponse({"message": INTERNAL_ERROR}, status=500)
    return defaults.server_error(request)
