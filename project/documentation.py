"""The API's document at /api/schema/, and its page at /api/docs/. The rooms say what is in it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.utils.html import format_html
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView

from settings_app.authentication import page_user

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]
#: What every operation may answer, whatever it is asked; and what only some may.
_ALWAYS: Final = {
    "400": "The request cannot be read.",
    "403": "Another site's request, or another host name.",
    "405": "This address does not take this method.",
    "408": "The body did not arrive in a minute.",
    "413": "More than 32 MB, or a workspace that is too large for a zip.",
    "415": "A body of another type than JSON.",
    "500": "A fault of this server's; its log has the details.",
}
_SESSION_GONE: Final = "There is no such conversation, or nothing at this address."
_ID: Final = "A conversation: 32 lower-case hex digits. Anything else names none."
_MESSAGE: Final = {"type": "string", "description": "What was wrong, for people."}
_ERROR: Final = {
    "type": "object",
    "description": "Why nothing was done.",
    "properties": {
        "message": _MESSAGE,
        "error": {"type": "string", "description": "The same, where a client looks for it."},
        "code": {"type": "string", "description": "What was wrong, for machines."},
        "status": {"type": "string", "description": "`error`, where a create was refused."},
        "msg_id": {"type": "string", "description": "The web client's name for it."},
    },
}
_INVALID: Final = {
    "type": "object",
    "description": "What is wrong with the input: every error, and the first one as a line.",
    "required": ["detail", "message"],
    "properties": {
        "message": _MESSAGE,
        "detail": {
            "type": "array",
            "description": "Every error.",
            "items": {
                "type": "object",
                "description": "One error.",
                "required": ["type", "loc", "msg"],
                "properties": {
                    "type": {"type": "string", "description": "Its name, for machines."},
                    "loc": {
                        "type": "array",
                        "description": "Its place: body, query or header, then names and indexes.",
                        "items": {"type": ["string", "integer"]},
                    },
                    "msg": {"type": "string", "description": "What is wrong there."},
                },
            },
        },
    },
}

_SCHEMES: Final = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "For scripts: `Token …`, made by `manage.py create_token`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": settings.SESSION_COOKIE_NAME,
        "description": "For browsers: the cookie of a login at /login.",
    },
}


def _answer(text: str, name: str = "Error", *, waits: bool = False) -> Document:
    answer: Document = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }
    if waits:
        answer["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait.",
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return answer


def _errors(path: str, method: str, operation: Document) -> Iterator[tuple[str, Document]]:
    for status, text in _ALWAYS.items():
        yield status, _answer(text)
    if settings.AUTH_MODE == "accounts":
        yield "401", _answer("Nobody is logged in.")
    if settings.REQUEST_THROTTLE:
        yield "429", _answer("Too many requests.", waits=True)
    if operation.get("requestBody") or operation.get("parameters"):
        yield "422", _answer("The input is wrong. Nothing was changed.", "Invalid")
    if "{conversation_id}/" in path:
        yield "404", _answer(_SESSION_GONE)
    if path.endswith(("/trajectory", "/zip-directory")):
        yield "503", _answer("Too many downloads at a time.", waits=True)
    if (path, method) == ("/api/conversations", "post"):
        yield "409", _answer("This Idempotency-Key was used for another body.")


def _complete_operation(path: str, method: str, operation: Document) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "conversation_id":
            parameter["description"] = _ID
        if "" in parameter["schema"].get("enum", ()):
            # drf-spectacular allows the empty choice, and forgets it in the next line.
            parameter["schema"].pop("minLength", None)
    operation.setdefault("summary", operation["description"].partition("\n")[0].rstrip("."))
    answers = operation.setdefault("responses", {})
    for status, answer in _errors(path, method, operation):
        answers.setdefault(status, answer)
    for answer in answers.values():
        answer["description"] = answer.get("description") or "Done."


def complete(
    result: Document,
    generator: object,  # noqa: ARG001  # drf-spectacular's
    request: object,  # noqa: ARG001
    public: bool,  # noqa: ARG001, FBT001
) -> Document:
    """Add what holds for all operations: errors, what a conversation's id is, who may ask."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Error": _ERROR, "Invalid": _INVALID}
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            _complete_operation(path, method, operation)
    if settings.AUTH_MODE == "accounts":
        result["components"]["securitySchemes"] = _SCHEMES
        result["security"] = [{name: []} for name in _SCHEMES]
    return result


@extend_schema(exclude=True)
class SchemaView(SpectacularAPIView):
    """GET /api/schema/: the document, as JSON."""

    renderer_classes = [OpenApiJsonRenderer2]


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Handrail: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{icon}"><link rel="stylesheet" href="{style}"></head>
<body><div id="api"></div><script src="{code}"></script>
<script nonce="{nonce}">SwaggerUIBundle({{url: "/api/schema/", dom_id: "#api",
deepLinking: true, validatorUrl: null}})</script></body></html>
"""
_SIDECAR: Final = "drf_spectacular_sidecar/swagger-ui-dist"


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """GET /api/docs/: a page that shows the document, and asks this server only."""
    if page_user(request) is None:
        return redirect_to_login(request.get_full_path())
    nonce = secrets.token_urlsafe(16)
    page = format_html(
        _PAGE,
        icon=static(f"{_SIDECAR}/favicon-32x32.png"),
        style=static(f"{_SIDECAR}/swagger-ui.css"),
        code=static(f"{_SIDECAR}/swagger-ui-bundle.js"),
        nonce=nonce,
    )
    policy = (
        f"default-src 'self'; script-src 'self' 'nonce-{nonce}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    )
    return HttpResponse(page, headers={"Content-Security-Policy": policy})
