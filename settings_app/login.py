"""The pages on which people log in and out, in AUTH_MODE=accounts. Failed logins: django-axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE = "settings_app/login.html"
_NOWHERE: Final = frozenset({"/login", "/logout"})
_LOCKED = "Too many wrong passwords. Wait a quarter of an hour, then try again."


def locked_out(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """Answer a login that comes after too many wrong ones."""
    headers = {"Retry-After": str(int(settings.AXES_COOLOFF_TIME.total_seconds()))}
    response = render(request, TEMPLATE, {"refusal": _LOCKED}, status=429)
    for name, value in headers.items():
        response[name] = value
    return response


def _in_accounts_mode(view: Callable[..., Any]) -> Callable[..., Any]:
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # In local mode there is nobody to log in.
        return redirect("/") if settings.AUTH_MODE == "local" else view(request, *args, **kwargs)

    return page


class _Login(LoginView):
    template_name = TEMPLATE
    redirect_authenticated_user = True

    # Django's takes no request, whatever its stubs say.
    def get_redirect_url(self) -> str:  # type: ignore[override]
        """Give where to go on: a path of this server, but not these two, which would lead back."""
        wanted = str(super().get_redirect_url())
        is_page = wanted.startswith("/") and urlsplit(wanted).path not in _NOWHERE
        return wanted if is_page else ""


login = _in_accounts_mode(_Login.as_view())
logout = _in_accounts_mode(LogoutView.as_view())
