"""From an error to its answer: the status and the body that the web client reads."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.test import Client, RequestFactory
from rest_framework import exceptions as drf
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from conversations import exceptions as domain
from project.api_errors import server_error
from settings_app.exceptions import SecretUnreadableError

if TYPE_CHECKING:
    from rest_framework.request import Request


class FailingView(APIView):
    """A view that raises what it is given."""

    authentication_classes = []
    permission_classes = [AllowAny]
    error: Exception = RuntimeError()

    def get(self, request: Request) -> Response:
        raise self.error

    def post(self, request: Request) -> Response:
        raise self.error


def _answer(error: Exception, method: str = "POST") -> Response:
    request = APIRequestFactory().generic(method, "/api/x")
    response: Response = FailingView.as_view(error=error)(request)
    response.render()
    return response


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            domain.SettingsNotFoundError(),
            400,
            {
                "status": "error",
                "message": "Settings not found",
                "msg_id": "CONFIGURATION$SETTINGS_NOT_FOUND",
            },
        ),
        (
            domain.LLMKeyMissingError(),
            400,
            {
                "status": "error",
                "message": str(domain.LLMKeyMissingError()),
                "msg_id": "STATUS$ERROR_LLM_AUTHENTICATION",
            },
        ),
        (domain.ConversationGoneError(), 404, {"error": "Session not found"}),
        (
            domain.InvalidTrajectoryError("no list"),
            422,
            {
                "detail": [{"type": "invalid_trajectory", "loc": ["body"], "msg": "no list"}],
                "message": "body: no list",
            },
        ),
        (domain.FencedError("older"), 409, {"message": "older", "code": "fenced"}),
        (Http404(), 404, {"error": "Not found.", "message": "Not found."}),
        (drf.NotFound("no file"), 404, {"error": "no file", "message": "no file"}),
        (RequestDataTooBig(), 413, {"message": "The request's body is too large."}),
        (SuspiciousOperation(), 400, {"message": "The request cannot be read."}),
        (UnreadablePostError(), 400, {"message": "The request cannot be read."}),
    ],
)
def test_error_has_its_status_and_body(error: Exception, status: int, body: dict[str, Any]) -> None:
    answer = _answer(error)
    assert (answer.status_code, answer.data) == (status, body)


def test_what_is_wrong_with_a_read_is_in_its_query() -> None:
    answer = _answer(drf.ValidationError({"limit": ["is no number"]}), "GET")
    assert answer.status_code == 422
    assert answer.data == {
        "detail": [{"type": "invalid", "loc": ["query", "limit"], "msg": "is no number"}],
        "message": "limit: is no number",
    }


def test_nested_validation_errors_are_named_one_by_one() -> None:
    answer = _answer(
        drf.ValidationError(
            {"images": [{}, {"url": ["is no \ud800 address"]}], "title": ["is long"]}
        )
    )
    assert answer.status_code == 422
    assert [item["loc"] for item in answer.data["detail"]] == [
        ["body", "images", 1, "url"],
        ["body", "title"],
    ]
    assert answer.data["message"] == "images.1.url: is no \\ud800 address (and 1 more)"


def test_throttled_client_is_told_when_to_come_back() -> None:
    answer = _answer(drf.Throttled(wait=3.2))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "4")


def test_unknown_error_is_logged_with_its_traceback_and_told_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = _answer(RuntimeError("password=hunter2"))
    assert answer.status_code == 500
    assert answer.data["message"].startswith("Internal error")
    assert b"hunter2" not in answer.content
    assert b"Traceback" not in answer.content
    record = next(record for record in caplog.records if record.name == "project.api_errors")
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError


def test_lost_encryption_key_says_which_setting_cures_it() -> None:
    answer = _answer(SecretUnreadableError())
    assert answer.status_code == 500
    assert "FIELD_ENCRYPTION_KEYS" in answer.data["message"]


def test_unknown_address_below_api_is_json_and_elsewhere_a_page(client: Client) -> None:
    answer = client.get("/api/nothing-here")
    assert answer.status_code == 404
    assert answer.json()["error"] == "There is nothing at /api/nothing-here."
    page = client.get("/nothing-here")
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")


def test_host_that_django_refuses_is_json_below_api(client: Client) -> None:
    answer = client.get("/api/settings", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "message" in answer.json()


def _lost(request: HttpRequest) -> HttpResponse:
    message = "the connection is lost"
    raise OperationalError(message)


@pytest.mark.parametrize("path", ["/login", "/api/conversations"])
def test_a_database_that_fails_outside_of_views_is_told_too(path: str) -> None:
    """As a session that cannot be stored when the view has answered."""
    request = RequestFactory().get(path)
    try:
        answer = _lost(request)
    except OperationalError:
        answer = server_error(request)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "The database does not answer" in answer.content.decode()
