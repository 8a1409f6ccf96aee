"""Who is asking, for the REST edge. It reads users and writes nothing but the one local user."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.signals import post_delete, post_migrate, post_save
from django.http import HttpRequest, parse_cookie
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed

from settings_app.models import User
from settings_app.services import local_user_get
from settings_app.sessions import SessionStore

if TYPE_CHECKING:
    from knox.models import AuthToken
    from rest_framework.request import Request


class _RememberedUser:
    """The local user as last read, so that a request costs no query for it."""

    def __init__(self) -> None:
        self._user: User | None = None

    def get(self) -> User:
        """Give a copy that the caller may change."""
        if self._user is not None:
            return copy.copy(self._user)
        user = local_user_get()
        # A row that its transaction takes back must not be remembered: so only after the commit.
        transaction.on_commit(partial(self._remember, copy.copy(user)))
        return user

    def _remember(self, user: User) -> None:
        self._user = user

    def forget(self, **kwargs: Any) -> None:
        """Read the user anew next time. Takes what a signal sends."""
        self._user = None


_LOCAL_USER: Final = _RememberedUser()


def forget_local_user_on_change() -> None:
    """Connect the signals after which the remembered user may be wrong."""
    for signal in (post_save, post_delete):
        signal.connect(_LOCAL_USER.forget, sender=User, dispatch_uid="settings_app.local_user")
    # Django's flush sends this one.
    post_migrate.connect(_LOCAL_USER.forget, dispatch_uid="settings_app.local_user")


class LocalUserAuthentication(BaseAuthentication):
    """In AUTH_MODE=local everybody is the one local user; in any other mode, nobody."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Name the local user."""
        return (_LOCAL_USER.get(), None) if settings.AUTH_MODE == "local" else None


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # it ships no types
    """The user of a token of ours, which are letters and digits."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """Find the token. Raises AuthenticationFailed, also for bytes that are no text at all."""
        if not token.isalnum():
            msg = "Invalid token."
            raise AuthenticationFailed(msg)
        found: tuple[User, AuthToken] = super().authenticate_credentials(token)
        return found


class AccountAuthentication(SessionAuthentication):
    """The user of a Django session. The API's clients know no CSRF token: the guard stands in."""

    def enforce_csrf(self, request: Request) -> None:
        """Ask for nothing: project/guard.py has refused what another site sent."""


def page_user(request: HttpRequest) -> User | None:
    """Give the user of a page outside of the API: the local one, or who has logged in."""
    if settings.AUTH_MODE == "local":
        return _LOCAL_USER.get()
    return request.user if request.user.is_authenticated else None


def socket_user(*, cookies: str = "", authorization: str = "") -> User:
    """Give the user of a socket: the local one, or who its cookie or its token names.

    `cookies` and `authorization` are the headers of its handshake. Raises PermissionDenied.
    """
    if settings.AUTH_MODE == "local":
        return _LOCAL_USER.get()
    user = _user_of_token(authorization) if authorization else _user_of_session(cookies)
    if user is None:
        msg = "Log in first, or send the header `Authorization: Token …`."
        raise PermissionDenied(msg)
    return user


def _user_of_session(cookies: str) -> User | None:
    request = HttpRequest()
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME)
    request.session = SessionStore(key)
    user = get_user(request)
    return user if isinstance(user, User) else None


def _user_of_token(authorization: str) -> User | None:
    prefix, _, token = authorization.partition(" ")
    if prefix.lower() != "token":
        return None
    try:
        # JSON can hold half of a character, which no bytes stand for.
        given = token.strip().encode("utf-8", "replace")
        user, _ = TokenAuthentication().authenticate_credentials(given)
    except AuthenticationFailed:
        return None
    return user
