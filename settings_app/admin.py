"""The console's audit: who has done what. Written by the actions, changed by nobody."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse

from settings_app.console import Page, ReadOnlyAdmin, console


def audit(*, request: HttpRequest, row: Model, message: str, deletes: bool = False) -> None:
    """Note what somebody does to a row, in the transaction that does it."""
    assert request.user.pk is not None
    LogEntry.objects.log_actions(
        user_id=request.user.pk,
        queryset=[row],
        action_flag=DELETION if deletes else CHANGE,
        change_message=message,
        single_object=True,
    )


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin[LogEntry]):
    """Every action of every operator, the newest first."""

    list_display = ("when", "who", "what", "on", "object_id")
    list_display_links = None
    list_select_related = ("user",)
    search_fields = ("object_id", "object_repr", "user__username")
    search_help_text = "Part of an id, a title or a name"
    ordering = ("-action_time", "-pk")

    @admin.display(description="Time (UTC)")
    def when(self, entry: LogEntry) -> str:
        """Show the time to the second."""
        return f"{entry.action_time:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="Who")
    def who(self, entry: LogEntry) -> str:
        """Show whose action it was."""
        return entry.user.get_username()

    @admin.display(description="What")
    def what(self, entry: LogEntry) -> str:
        """Show what was done."""
        return entry.get_change_message()

    @admin.display(description="On")
    def on(self, entry: LogEntry) -> str:
        """Show what it was done to, by the name it had then."""
        return entry.object_repr

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list."""
        return super().changelist_view(request, {"title": "Audit", **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """There is no page of one entry: the list says it all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        raise Http404


console().add_page(Page("Audit", "admin:admin_logentry_changelist", "admin.view_logentry", 4))
