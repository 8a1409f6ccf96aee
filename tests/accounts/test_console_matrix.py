"""Every address of the console, for everybody who logs in: strangers find nothing there."""

from __future__ import annotations

from functools import cache

import pytest

from tests.accounts.people import PASSWORD, People
from tests.accounts.test_matrix import METHODS, ROUTES

CONSOLE = [route for route in ROUTES if route.startswith("admin/")]
LISTS = [
    *("admin/", "admin/conversations/conversation/", "admin/conversations/looplease/"),
    *("admin/settings_app/user/", "admin/admin/logentry/"),
]

_NEW = f"""
from settings_app.models import User
User.objects.create_user("new", password={PASSWORD!r})
"""


@pytest.fixture(scope="module")
def owned(people: People) -> str:
    return people.create("ada")


@cache
def cookie_of(people: People, name: str) -> str:
    """Log in once a run: the hash of a password is slow by design."""
    cookie = people.log_in(name)
    assert cookie
    return cookie


def ask(people: People, name: str, method: str, route: str, row: str) -> tuple[int, str]:
    path = "/" + route.replace("<id>", row).replace("<rest>", "some/where")
    headers = {"Cookie": cookie_of(people, name)}
    status, _, text = people.fetch(method, path, None, headers)
    return status, text


def test_the_table_has_the_console() -> None:
    assert set(LISTS) <= set(CONSOLE)
    assert "admin/conversations/conversation/<id>/change/" in CONSOLE
    assert not [route for route in CONSOLE if "/add/" in route or "/delete/" in route]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", CONSOLE)
def test_who_is_no_staff_finds_nothing(people: People, owned: str, route: str, method: str) -> None:
    nothing = ask(people, "bob", method, "admin/<rest>", owned)
    assert nothing[0] in {404, 403, 405}
    for row in (owned, "0" * 32, "1", "x"):
        assert ask(people, "bob", method, route, row) == nothing


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", CONSOLE)
def test_staff_without_a_role_sees_no_row(
    people: People, owned: str, route: str, method: str
) -> None:
    status, text = ask(people, "staff", method, route, owned)
    is_open = route in {"admin/", "admin/jsi18n/"} and method in {"GET", "HEAD", "OPTIONS"}
    assert status in ({200} if is_open else {403, 404, 405})
    assert "ada" not in text
    assert ask(people, "staff", method, route, "0" * 32)[0] == status


@pytest.mark.parametrize("name", ["viewer", "operator"])
def test_who_has_a_role_comes_in(people: People, owned: str, name: str) -> None:
    for route in LISTS:
        assert ask(people, name, "GET", route, owned)[0] == 200
    status, text = ask(people, name, "GET", "admin/conversations/conversation/<id>/change/", owned)
    assert status == 200
    assert ("Delete with sandbox" in text) == (name == "operator")
    for method in ("PUT", "PATCH", "DELETE"):
        assert ask(people, name, method, LISTS[1], owned)[0] == 403, "no CSRF token"
    assert people.call(name, "GET", f"/api/conversations/{owned}")[1] is None, "never by the API"


def test_a_token_does_not_open_the_console(people: People) -> None:
    status, headers, _ = people.fetch("GET", "/admin/", None, people.headers("operator"))
    assert status == 302
    assert ("location", "/login?next=/admin/") in [(k.lower(), v) for k, v in headers]


def test_a_role_is_given_and_taken_on_the_command_line(people: People, owned: str) -> None:
    people.manage("shell", "--no-imports", "-c", _NEW)
    assert ask(people, "new", "GET", "admin/", owned)[0] == 404
    people.manage("set_console_role", "new", "viewer")
    assert ask(people, "new", "GET", LISTS[1], owned)[0] == 200
    people.manage("set_console_role", "new", "none")
    assert ask(people, "new", "GET", LISTS[1], owned)[0] == 404
