"""`create_token`, `set_console_role`: what they do to people, once, again, and with bad words."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from settings_app.models import User
from settings_app.roles import OPERATOR, VIEWER
from tests.commands.operating import call
from tests.factories import UserFactory

TOKEN, ROLE = "create_token", "set_console_role"


@pytest.fixture
def ada(transactional_db: None) -> User:
    return UserFactory.create(username="ada")


def owner_of(token: str) -> User:
    user, _ = TokenAuthentication().authenticate_credentials(token.encode())
    assert isinstance(user, User)
    return user


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["username"]),
        (["nobody"], ["no active user 'nobody'", "createsuperuser"]),
        (["gone"], ["no active user 'gone'"]),
        (["ada", "--days", "0"], ["--days", "'0'", "from 1 to 3650"]),
        (["ada", "--days", "3651"], ["'3651'"]),
        (["ada", "--days", "-1"], ["'-1'"]),
        (["ada", "--days", "9" * 5000], ["a whole number"]),
        (["ada", "bob"], ["bob"]),
        (["ada", "--dry-run"], ["--dry-run"]),
    ],
)
def test_no_token_is_made_of_bad_arguments(
    ada: User, arguments: list[str], words: list[str]
) -> None:
    UserFactory.create(username="gone", is_active=False)
    call(TOKEN, *arguments).refused(*words)
    assert not AuthToken.objects.exists()


def test_a_token_is_alone_on_its_line_and_a_second_one_leaves_the_first(ada: User) -> None:
    first, second = call(TOKEN, "ada"), call(TOKEN, "ada", "--days", "1", "--json")
    assert (first.code, first.err, first.out.count("\n")) == (0, "", 1)
    assert owner_of(first.out.strip()) == owner_of(second.json["token"]) == ada
    assert AuthToken.objects.count() == 2
    with pytest.raises(AuthenticationFailed):
        owner_of("x" * 64)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ada"], ["role"]),
        (["ada", "king"], ["'king'", "viewer", "operator", "none"]),
        (["nobody", "viewer"], ["There is no user 'nobody'", "createsuperuser"]),
    ],
)
def test_no_role_comes_of_bad_arguments(ada: User, arguments: list[str], words: list[str]) -> None:
    call(ROLE, *arguments).refused(*words)
    ada.refresh_from_db()
    assert not ada.is_staff


def groups(user: User) -> list[str]:
    return [group.name for group in Group.objects.filter(user=user)]


def test_a_role_is_given_changed_and_taken_any_number_of_times(ada: User) -> None:
    for role in (VIEWER, VIEWER, OPERATOR):
        done = call(ROLE, "ada", role)
        assert (done.code, done.err, done.out) == (0, "", f"ada: {role}\n")
        ada.refresh_from_db()
        assert (ada.is_staff, groups(ada)) == (True, [role])
    for _ in range(2):
        assert call(ROLE, "ada", "none", "--json").json["role"] == "none"
        ada.refresh_from_db()
        assert (ada.is_staff, groups(ada)) == (False, [])
