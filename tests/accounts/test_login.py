"""Logging in, tokens, and what nobody gets, on a real server in accounts mode."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.accounts.people import PASSWORD, People

URL = "/api/conversations"


@pytest.fixture(scope="module")
def cookie(people: People) -> str:
    """Give what Ada's browser sends once she has logged in."""
    return people.log_in("ada")


def location(headers: list[tuple[str, str]]) -> str:
    return next(value for key, value in headers if key.lower() == "location")


def test_a_page_asks_for_a_login_and_goes_on_where_it_was(people: People) -> None:
    status, headers, _ = people.fetch("GET", "/settings?tab=1")
    assert (status, location(headers)) == (302, "/login?next=/settings%3Ftab%3D1")
    status, headers, _ = people.post_form(
        "/login", username="ada", password=PASSWORD, next="/settings"
    )
    assert (status, location(headers)) == (302, "/settings")
    for elsewhere in ("https://evil.example/", "//evil.example", "javascript:alert(1)"):
        _, headers, _ = people.post_form(
            "/login", username="ada", password=PASSWORD, next=elsewhere
        )
        assert location(headers) == "/"


ODD_NEXT = [
    *("/login", "/login?next=/login", "/login?next=/login?next=/login", "/login#here", "/logout"),
    *(
        "//login",
        "/login/",
        "/%6cogin",
        "///evil.example",
        "/\\evil.example",
        "http://[",
        "http:///x",
    ),
    *(
        "/a\r\nSet-Cookie: a=b",
        "/\0",
        "\n/",
        "/x" * 4000,
        "/ä",
        "\udcff",
        "/\udced\udca0\udc80",
        "",
        " ",
    ),
    *("mailto:ada@example.com", "\u2028/", "/%ff", "/%00", "/%0d%0aa:b", "//[::1", "/;a=b?c=d&e"),
]


@pytest.mark.parametrize("wanted", ODD_NEXT, ids=ascii)
def test_whoever_is_logged_in_is_sent_on_wherever_he_wanted(
    people: People, cookie: str, wanted: str
) -> None:
    query = quote(wanted, errors="surrogateescape", safe="")
    status, headers, _ = people.fetch("GET", f"/login?next={query}", None, {"Cookie": cookie})
    assert status == 302
    where = location(headers)
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\", "/login?", "/login#"))
    assert where not in {"/login", "/logout"}
    assert "set-cookie: a=b" not in str(headers).lower()


def test_a_session_opens_the_api_without_a_csrf_token_and_ends_at_logout(people: People) -> None:
    cookie = people.log_in("ada")
    headers = {"Cookie": cookie}
    status, answer = people.server.call("POST", URL, {}, headers)
    assert status == 200
    assert people.server.call("GET", f"{URL}/{answer['conversation_id']}", None, headers)[1]
    # Another site's page has the cookie sent, and is kept out by the guard.
    for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert people.server.call("POST", URL, {}, {**headers, **foreign})[0] == 403
    assert people.fetch("GET", "/", None, headers)[0] == 200
    assert people.fetch("POST", "/logout", "", headers)[0] == 403, "without a CSRF token"
    assert people.post_form("/logout", cookie)[0] == 302
    assert people.server.call("GET", URL, None, headers)[0] == 401


def test_a_wrong_password_is_said_and_after_ten_nobody_tries_on(people: People) -> None:
    status, _, page = people.post_form("/login", username="ada", password="wrong")
    assert status == 200
    assert "do not match" in page
    unknown = [people.post_form("/login", username="eve", password="x") for _ in range(11)]
    assert [status for status, _, _ in unknown[:9]] == [200] * 9
    status, headers, page = unknown[-1]
    assert status == 429
    assert "Wait a quarter of an hour" in page
    assert int({k.lower(): v for k, v in headers}["retry-after"]) == 900
    assert people.log_in("ada"), "another name is not locked out with it"


def test_tokens_are_stored_as_hashes_and_die_with_their_user(people: People) -> None:
    assert people.call("ada", "GET", URL)[0] == 200
    status, answer = people.call("gone", "GET", URL)
    assert status == 401
    assert "token" in answer["message"].lower()
    for token in ("", "x" * 64, people.tokens["ada"][:-1], people.tokens["ada"] + "0"):
        headers = {"Authorization": f"Token {token}"}
        assert people.server.call("GET", URL, None, headers)[0] == 401
    for scheme in ("Bearer", "Basic", ""):
        headers = {"Authorization": f"{scheme} {people.tokens['ada']}".strip()}
        assert people.server.call("GET", URL, None, headers)[0] == 401
    said = people.python(
        "from knox.models import AuthToken; print(list(AuthToken.objects.values()))"
    )
    assert people.tokens["ada"] not in said


@pytest.mark.parametrize(
    "token", ["\xff", "\xc3\xa9" * 20, "\x80" * 5000, "€".encode().decode("latin-1")]
)
def test_a_token_that_is_no_text_is_a_wrong_one(people: People, token: str) -> None:
    for given in (token, people.tokens["ada"] + token):
        headers = {"Authorization": f"Token {given}"}
        status, answer = people.server.call("GET", URL, None, headers)
        assert (status, answer) == (401, {"message": "Invalid token."})


@pytest.mark.parametrize(
    "value", ['"\\000' + "a" * 31 + '"', "\xff" * 32, '"\\377' + "a" * 31 + '"', '"']
)
def test_a_cookie_that_is_no_session_is_nobodys(people: People, value: str) -> None:
    headers = {"Cookie": f"sessionid={value}; csrftoken={value}"}
    assert people.server.call("GET", URL, None, headers)[0] == 401
    assert people.fetch("GET", "/", None, headers)[0] == 302
    assert people.fetch("GET", "/login", None, headers)[0] == 200
    assert people.fetch("GET", "/admin/", None, headers)[0] == 302


def test_a_token_made_on_the_command_line_is_taken(people: People) -> None:
    people.tokens["ada again"] = people.manage("create_token", "ada", "--days", "1").strip()
    assert people.call("ada again", "GET", URL)[0] == 200
