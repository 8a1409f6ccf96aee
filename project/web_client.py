"""What stands at `/`: the built web client of WEB_CLIENT_DIR, else a small page of our own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from conversations.models.loop_lease import Status
from conversations.selectors import ConversationFilter, conversation_count, conversation_page
from settings_app.authentication import page_user

if TYPE_CHECKING:
    from django.http import HttpRequest

#: Files of the client's build whose names change with what is in them (see settings.py).
_HASHED = "/assets/"
_SHOWN = 20
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Handrail</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto;
padding: 0 1rem; }} code {{ background: #8882; padding: 0 .3em; }}</style></head>
<body><h1>Handrail</h1>{what}
<p><a href="/api/docs/">The API</a>, with every call to try; its
<a href="/api/schema/">document</a>. <a href="/ready">/ready</a> says whether this server can work.
{console}A built web client is served here when <code>WEB_CLIENT_DIR</code> names its folder.</p>
</body></html>
"""
_CONSOLE = 'The operators&#x27; console is at <a href="/admin/">/admin/</a>. '


@require_safe
def web_client(request: HttpRequest, path: str) -> HttpResponse:
    """Answer for every page of the client's: it finds its way by the address itself."""
    if settings.AUTH_MODE == "accounts" and page_user(request) is None:
        return redirect_to_login(request.get_full_path())
    # A missing asset is missing: a page in its place would be cached, and read as a script.
    if settings.WEB_CLIENT_DIR is None or f"/{path}".startswith(_HASHED):
        if path:
            raise Http404
        return HttpResponse(_home(request), headers={"Cache-Control": "no-store"})
    page = (Path(settings.WEB_CLIENT_DIR) / "index.html").read_bytes()
    return HttpResponse(page, headers={"Cache-Control": "no-store"})


def _home(request: HttpRequest) -> str:
    user = page_user(request)
    assert user is not None
    running = ConversationFilter(status=Status.RUNNING)
    items, more = conversation_page(user=user, limit=_SHOWN, wanted=running)
    lines = format_html_join(
        "\n",
        '<li><a href="/api/conversations/{}">{}</a></li>',
        ((item["conversation_id"], item["title"]) for item in items),
    )
    what = format_html(
        "<p>Conversations: {}. What runs now:</p><ul>{}{}</ul>",
        conversation_count(user=user),
        lines or format_html("<li>nothing</li>"),
        format_html("<li>…</li>") if more else "",
    )
    # Others are not told that there is a console.
    may_enter = settings.AUTH_MODE == "local" or user.is_staff
    console = mark_safe(_CONSOLE if may_enter else "")  # noqa: S308  # our own words
    return format_html(_PAGE, what=what, console=console)
