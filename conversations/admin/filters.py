"""The filters of the list of conversations. Each has an index, or a few rows, behind it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from conversations.events.states import AgentState
from conversations.models import Conversation, LoopLease
from conversations.models.loop_lease import Status, among
from settings_app.models import User

_AGES: Final = {
    "hour": ("the last hour", timedelta(hours=1)),
    "day": ("the last day", timedelta(days=1)),
    "week": ("the last 7 days", timedelta(days=7)),
    "month": ("the last 30 days", timedelta(days=30)),
}
Rows = QuerySet[Conversation]


class StatusFilter(SimpleListFilter):
    """RUNNING or STOPPED, as the wire says it."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Give the two words."""
        return [(status.value, status.value) for status in Status]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Ask for the few that run first."""
        running = among(LoopLease.objects.running())
        if self.value() == Status.RUNNING:
            return queryset.filter(running)
        return queryset.filter(~Q(running)) if self.value() == Status.STOPPED else queryset


class StateFilter(SimpleListFilter):
    """The agent's state."""

    title = "agent state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Give the thirteen words."""
        return [(state.value, state.value.replace("_", " ")) for state in AgentState]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Keep this state; an unknown one keeps all, as if nothing were asked."""
        known = self.value() in set(AgentState)
        return queryset.filter(agent_state=self.value()) if known else queryset


class AgeFilter(SimpleListFilter):
    """When it was created."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Give the spans."""
        return [*((name, said) for name, (said, _) in _AGES.items()), ("older", "older")]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Keep a range of the list's own order."""
        value, now = self.value() or "", timezone.now()
        if value == "older":
            return queryset.filter(created_at__lt=now - _AGES["month"][1])
        return queryset.filter(created_at__gt=now - _AGES[value][1]) if value in _AGES else queryset


class TextFilter(SimpleListFilter):
    """A filter for what has too many values to be listed: a field to type one into."""

    template = "console/text_filter.html"
    hint = ""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Give none."""
        return []

    def has_output(self) -> bool:
        """Show the field."""
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Give the field, and what else is asked, to be kept."""
        name = self.parameter_name or ""
        yield {
            "name": name,
            "value": self.value() or "",
            "hint": self.hint,
            "others": [
                (key, changelist.params[key])
                for key in changelist.params
                if key not in {name, "before"}
            ],
            "without": changelist.get_query_string(remove=[name, "before"]),
        }


class OwnerFilter(TextFilter):
    """Whose it is, by the whole name."""

    title = "owner"
    parameter_name = "owner"
    hint = "name"

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Look the user up first: so the list's index can be used."""
        if not self.value():
            return queryset
        return queryset.filter(owner_id=owner_id(self.value() or "") or 0)


class RepositoryFilter(TextFilter):
    """Its repository, by the whole name."""

    title = "repository"
    parameter_name = "repository"
    hint = "owner/name"

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Keep this repository."""
        return queryset.filter(selected_repository=self.value()) if self.value() else queryset


def owner_id(username: str) -> int | None:
    """Give the id of the user of exactly this name."""
    return User.objects.filter(username=username[:150]).values_list("pk", flat=True).first()
