"""The page of loops: what runs where, what waits, what is stuck and why."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from conversations.admin import words
from conversations.admin.conversations import ONE, badge
from conversations.admin.loop_reads import MOST, Loop, loops_read
from conversations.models import LoopLease
from settings_app.console import Page, ReadOnlyAdmin, console

LIST: Final = "admin:conversations_looplease_changelist"


@admin.register(LoopLease)
class LoopAdmin(ReadOnlyAdmin[LoopLease]):
    """The few leases that are held or wanted; one at rest stands on its conversation's page."""

    def get_urls(self) -> list[URLPattern]:
        """Give the one page."""
        return [path("", self.admin_site.admin_view(self.changelist_view), name=LIST.split(":")[1])]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        loops = loops_read()
        context = {
            **self.admin_site.each_context(request),
            "title": "Loops",
            "groups": [
                ("Stuck", "stuck", _shown(loops.stuck), "Nothing is stuck."),
                ("Running", "running", _shown(loops.running), "Nothing runs."),
                ("Waiting", "waiting", _shown(loops.waiting), "Nothing waits."),
            ],
            "cut": MOST if loops.cut else 0,
        }
        return TemplateResponse(request, "console/loops.html", context)


def _shown(loops: list[Loop]) -> list[dict[str, Any]]:
    return [
        {
            "title": str(loop.conversation),
            "url": reverse(ONE, args=[loop.conversation.pk]),
            "owner": loop.conversation.owner.get_username(),
            "state": badge(loop.conversation.agent_state),
            "holder": loop.holder or words.NOTHING,
            "since": loop.since,
            "span": words.since(loop.since),
            "cost": words.money(loop.conversation.accumulated_cost),
            "why": loop.why,
        }
        for loop in loops
    ]


console().add_page(Page("Loops", LIST, "conversations.view_looplease", 2))
