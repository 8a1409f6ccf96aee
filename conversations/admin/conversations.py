"""Conversations in the console: the list, one of them with its timeline, and the way to actions."""

from __future__ import annotations

import time
from typing import Any, Final

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conversations.admin import words
from conversations.admin.filters import (
    AgeFilter,
    OwnerFilter,
    RepositoryFilter,
    StateFilter,
    StatusFilter,
)
from conversations.admin.keys import id_read
from conversations.admin.listing import ConversationChangeList
from conversations.admin.operations import OPERATIONS, PERMISSION, operate
from conversations.admin.timeline import KINDS, timeline
from conversations.models import Conversation, LoopLease
from conversations.models.conversation import ConversationQuerySet
from conversations.models.loop_lease import Status, is_running
from conversations.runtime.workspace_size import workspace_size
from conversations.services.workspaces import workspace_path
from settings_app.console import Page, ReadOnlyAdmin, console
from settings_app.exceptions import SecretUnreadableError
from settings_app.selectors import settings_for

LIST: Final = "admin:conversations_conversation_changelist"
ONE: Final = "admin:conversations_conversation_change"
#: Seconds that a walk through one workspace may take.
_SIZE_SECONDS: Final = 0.1
_AUDITED: Final = 10
_MOST_DIGITS: Final = 18
_TIME: Final = "%Y-%m-%d %H:%M:%S UTC"


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin[Conversation]):
    """All users' conversations."""

    list_display = (
        *("name", "owner_name", "status", "state", "repository"),
        *("events", "cost", "age", "size"),
    )
    list_display_links = ("name",)
    list_filter = (StatusFilter, StateFilter, AgeFilter, OwnerFilter, RepositoryFilter)
    search_fields = ("title",)
    search_help_text = (
        "An id or its beginning, an owner's whole name, else part of a title. "
        "id:, owner: or title: in front says which."
    )
    ordering = ("-created_at", "-id")
    change_list_template = "console/conversations.html"

    def get_queryset(self, request: HttpRequest) -> ConversationQuerySet:
        """Leave out what is deleted."""
        return Conversation.objects.alive()

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Leave the search to the list."""
        return queryset, False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Give the list that needs no count."""
        return ConversationChangeList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the actions to operators."""
        if not request.user.has_perm(PERMISSION):
            return {}
        return {
            operation.name: (operate, operation.name, operation.title)
            for operation in OPERATIONS.values()
        }

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list; a form that is sent goes to the actions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return operate(request, fallback=reverse(LIST))
        return super().changelist_view(request, {"title": "Conversations", **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one conversation."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = id_read(object_id)
        rows = Conversation.objects.alive().select_related("owner", "lease").defer("replay")
        row = rows.filter(pk=found).annotate(running=is_running()).first() if found else None
        if row is None:
            messages.warning(request, "There is no such conversation (any more).")
            return HttpResponseRedirect(reverse(LIST))
        context = {**self.admin_site.each_context(request), **_one(request, row)}
        return TemplateResponse(request, "console/conversation.html", context)

    @admin.display(description="Title")
    def name(self, row: Conversation) -> str:
        """Show the title, or what stands for it."""
        return str(row)

    @admin.display(description="Owner")
    def owner_name(self, row: Conversation) -> str:
        """Show whose it is."""
        return row.owner.get_username()

    @admin.display(description="Status")
    def status(self, row: Any) -> SafeString:
        """Show the derived status."""
        return badge(status_of(row))

    @admin.display(description="Agent state")
    def state(self, row: Conversation) -> SafeString:
        """Show what the agent does."""
        return badge(row.agent_state)

    @admin.display(description="Repository")
    def repository(self, row: Conversation) -> str:
        """Show the repository."""
        return row.selected_repository or words.NOTHING

    @admin.display(description="Events")
    def events(self, row: Conversation) -> str:
        """Show the number of events: ids are dense."""
        return f"{row.last_event_id + 1:,}"

    @admin.display(description="Cost")
    def cost(self, row: Conversation) -> str:
        """Show what its answers have cost."""
        return words.money(row.accumulated_cost)

    @admin.display(description="Age")
    def age(self, row: Conversation) -> SafeString:
        """Show how old it is."""
        return format_html(
            '<time title="{}">{}</time>',
            row.created_at.strftime(_TIME),
            words.since(row.created_at),
        )

    @admin.display(description="Size")
    def size(self, row: Any) -> str:
        """Show what its workspace takes."""
        more = "" if row.workspace.complete else "over "
        return more + words.size(row.workspace.bytes)


def status_of(row: Any) -> str:
    """Give RUNNING or STOPPED of a row that was read with `running`."""
    return (Status.RUNNING if row.running else Status.STOPPED).value


def badge(word: str) -> SafeString:
    """Give a state as a coloured word."""
    return format_html('<span class="badge {}">{}</span>', word.lower(), word.replace("_", " "))


def _secrets(row: Conversation) -> tuple[tuple[str, ...], bool]:
    """Give the owner's secrets, to be masked, and whether they could be read."""
    try:
        user_settings = settings_for(user_id=row.owner_id)
    except SecretUnreadableError:
        return (settings.LLM_API_KEY,), False
    return (*(user_settings.secrets if user_settings else ()), settings.LLM_API_KEY), True


def _one(request: HttpRequest, row: Any) -> dict[str, Any]:
    kind = request.GET.get("kind", "")
    kind = kind if kind in KINDS else ""
    at = request.GET.get("from", "")
    is_id = at.isascii() and at.isdigit() and len(at) <= _MOST_DIGITS
    last_id = min(int(at), row.last_event_id) if is_id else row.last_event_id
    secrets, readable = _secrets(row)
    until = time.monotonic() + _SIZE_SECONDS
    audited = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Conversation), object_id=str(row.pk)
    ).select_related("user")
    return {
        "title": str(row),
        "row": row,
        "status": badge(status_of(row)),
        "state": badge(row.agent_state),
        "cost": words.money(row.accumulated_cost),
        "events_number": row.last_event_id + 1,
        "lease": _lease(row.lease) if hasattr(row, "lease") else [],
        "workspace": _workspace(row, until),
        "timeline": timeline(conversation_id=row.pk, last_id=last_id, kind=kind, secrets=secrets),
        "secrets_readable": readable,
        "kind": kind,
        "kinds": KINDS,
        "is_first": last_id == row.last_event_id,
        "audited": audited.order_by("-action_time", "-pk")[:_AUDITED],
        "operations": OPERATIONS.values() if request.user.has_perm(PERMISSION) else (),
        "list_url": reverse(LIST),
    }


def _workspace(row: Conversation, until: float) -> str:
    found = workspace_size(workspace_path(row.pk), until=until)
    more = "" if found.complete else "over "
    return f"{more}{words.size(found.bytes)} in {more}{found.files:,} files"


def _lease(lease: LoopLease) -> list[tuple[str, str]]:
    expiry = lease.lease_expires_at
    expires = words.NOTHING if expiry is None else expiry.strftime(_TIME)
    if expiry is not None and (passed := words.since(expiry)) != "0 s":
        expires += f", {passed} ago"
    held = lease.claimed_at.strftime(_TIME) if lease.holder and lease.claimed_at else words.NOTHING
    return [
        ("Holder", lease.holder or "nobody"),
        ("Held since", held),
        ("Expires", expires),
        ("Requests", f"{lease.requested} asked, {lease.served} served"),
        ("Asked of the runner", lease.control or "nothing"),
    ]


console().add_page(Page("Conversations", LIST, "conversations.view_conversation", 1))
