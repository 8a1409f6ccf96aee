"""Every route and method, for everybody: a stranger's conversation is a missing one, in all.

The routes come from the server's own table of addresses: one that is missing here fails.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.accounts.people import People

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: What may be asked without a login.
#: `metrics` asks for a token of its own.
OPEN = {"login", "logout", "health", "alive", "ready", "metrics"}
#: Below /api/, and a page for people all the same: it sends them to the login.
PAGES = {"api/docs", "api/docs/"}
#: Bodies with which a write would do something, were it allowed.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "api/conversations"): {"initial_user_msg": ""},
    ("PATCH", "api/conversations/<id>"): {"title": "Mine now"},
    ("POST", "api/conversations/<id>/submit-feedback"): {"polarity": "positive"},
    ("POST", "api/settings"): {"language": "en"},
}
#: Headers that differ between any two answers.
_CHANGING = {"date", "x-request-id"}


def routes(patterns: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    """Walk the table of addresses; an id is `<id>`, any other part is `<rest>`."""
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        text = re.sub(r"\^|\$$|\\Z", "", prefix + str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, text)
        elif isinstance(entry, URLPattern):
            text = re.sub(r"<path:object_id>", "<id>", text).replace("<path:rest>", "<rest>")
            text = re.sub(r"<(str:)?conversation_id>|\(\?P<conversation_id>[^)]*\)", "<id>", text)
            yield re.sub(r"\(\?P<(rest|path)>[^)]*\)|\(\?!.*?\)\)", "<rest>", text)


ROUTES = sorted(set(routes()))
#: The console's are walked in test_console_matrix.py: who may enter it comes by a login.
INSIDE = [route for route in ROUTES if "<id>" in route and not route.startswith("admin")]
REST = [route for route in ROUTES if "<id>" not in route]


def ask(
    people: People, name: str, method: str, route: str, conversation_id: str
) -> tuple[Any, ...]:
    """Make a request; give status, headers and body, with the id taken out."""
    path = "/" + route.replace("<id>", conversation_id).replace("<rest>", "some/where")
    body = json.dumps(BODIES.get((method, route), {})) if method not in {"GET", "HEAD"} else None
    connection = http.client.HTTPConnection("127.0.0.1", people.server.port, timeout=20)
    headers = {"Content-Type": "application/json", **people.headers(name)}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    text = response.read().decode(errors="replace").replace(conversation_id, "<id>")
    shown = sorted(
        (key.lower(), value) for key, value in response.getheaders() if key.lower() not in _CHANGING
    )
    connection.close()
    return response.status, shown, text


@pytest.fixture(scope="module")
def owned(people: People) -> str:
    """Give a conversation of Ada's."""
    return people.create("ada")


def seen_by_its_owner(people: People, conversation_id: str) -> list[tuple[int, Any]]:
    path = f"/api/conversations/{conversation_id}"
    return [people.call("ada", "GET", path + rest) for rest in ("", "/trajectory")]


@pytest.fixture(scope="module")
def before(people: People, owned: str) -> list[tuple[int, Any]]:
    """Give what its owner sees of it, whatever others have tried."""
    seen = seen_by_its_owner(people, owned)
    assert seen[0][1] is not None
    return seen


def test_the_table_has_what_it_should() -> None:
    assert len(INSIDE) >= 12
    assert "api/conversations/<id>/select-file" in INSIDE
    assert "api/conversations" in REST
    assert set(BODIES) <= {(method, route) for method in METHODS for route in ROUTES}


@pytest.mark.parametrize("route", INSIDE)
@pytest.mark.parametrize("stranger", ["bob", "staff"])
def test_a_strangers_conversation_is_a_missing_one(
    people: People, owned: str, before: Any, stranger: str, route: str
) -> None:
    for method in METHODS:
        theirs = ask(people, stranger, method, route, owned)
        assert theirs == ask(people, stranger, method, route, "0" * 32), method
        assert theirs[0] in {200, 404, 405, 422}, method
    assert seen_by_its_owner(people, owned) == before


@pytest.mark.parametrize("route", [route for route in ROUTES if route not in OPEN])
@pytest.mark.parametrize("nobody", ["", "gone"])
def test_nobody_gets_anything(people: People, owned: str, nobody: str, route: str) -> None:
    refused = {401} if route.startswith("api/") and route not in PAGES else {302, 405, 403}
    for method in METHODS:
        status, _, text = ask(people, nobody, method, route, owned)
        assert status in refused, method
        assert "ada" not in text, method
        if "<id>" in route:
            # And nobody can tell by it which conversations there are.
            assert ask(people, nobody, method, route, "0" * 32)[0] == status, method
    assert people.call("ada", "GET", f"/api/conversations/{owned}")[1] is not None


@pytest.mark.parametrize("route", [route for route in REST if route.startswith("api/")])
@pytest.mark.parametrize("stranger", ["bob", "staff"])
def test_lists_and_settings_are_ones_own(
    people: People, owned: str, stranger: str, route: str
) -> None:
    _, _, text = ask(people, stranger, "GET", route, owned)
    assert owned not in text
    assert not re.search(r"\bada\b", text)


def test_the_owner_gets_what_the_others_do_not(people: People, owned: str) -> None:
    readable = [r for r in INSIDE if ask(people, "ada", "GET", r, owned)[0] == 200]
    assert {"api/conversations/<id>/trajectory", "api/conversations/<id>/list-files"} <= set(
        readable
    )
