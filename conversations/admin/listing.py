"""A page of the list of conversations that costs the same at ten rows and at a million.

No offset and no count: a page begins behind the last one's last row. What no index answers (part of
a title, two filters at once) is looked for in a stretch of the list; the page says where it ended.
"""

from __future__ import annotations

import time
from typing import Any, Final

from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from conversations.admin.filters import owner_id
from conversations.admin.keys import id_range, id_read, place_read, place_write
from conversations.events.states import AgentState
from conversations.models import Conversation
from conversations.models.loop_lease import Status, is_running
from conversations.runtime.workspace_size import workspace_size
from conversations.selectors import PageKey
from conversations.services.workspaces import workspace_path
from settings_app.console import CalmChangeList

#: Conversations that one page of a search without an index looks through.
STRETCH: Final = 100_000
#: Seconds and entries that the sizes of one page's workspaces may cost.
_SIZES_SECONDS: Final = 0.05
_ENTRIES: Final = 300
_COUNTED: Final = 10_000
_ORDER: Final = ("-created_at", "-id")
_INDEXED: Final = ("owner", "state", "repository")


class ConversationChangeList(CalmChangeList):
    """Django's list with pages of its own."""

    #: What the search box was taken for: id, owner, title; empty where nothing was searched.
    found_by = ""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Leave the page out: it is no filter."""
        found = super().get_filters_params(params)
        found.pop("before", None)
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        """Filter, then search in our own way."""
        return self._searched(super().get_queryset(request, exclude_parameters))

    def _searched(self, rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
        """Take the text for an id or its beginning, else for an owner's name, else for a title."""
        text = self.query.strip()
        kind, _, rest = text.partition(":")
        forced = kind.lower() if kind.lower() in {"id", "owner", "title"} else ""
        text = rest.strip() if forced else text
        if not text:
            return rows
        by_id = _id_condition(text) if forced in {"", "id"} else None
        if forced == "id" or (by_id and (forced or Conversation.objects.alive().filter(by_id)[:1])):
            self.found_by = "id"
            return rows.filter(by_id) if by_id else rows.none()
        owner = owner_id(text) if forced in {"", "owner"} else None
        if forced == "owner" or owner is not None:
            self.found_by = "owner"
            return rows.filter(owner_id=owner or 0)
        self.found_by = "title"
        return rows.filter(title__icontains=text)

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, and where the next one begins."""
        rows = self.queryset.order_by(*_ORDER)
        text = request.GET.get("before", "")
        start = place_read(text)
        self.bad_page = bool(text) and start is None
        end: PageKey | None = None
        if start is not None:
            rows = rows.filter(_behind(start))
        if self._needs_stretch():
            end = self._stretch_end(start)
            if end is not None:
                rows = rows.filter(_not_behind(end))
        limit = self.list_per_page
        # Not joined: where one owner has all rows, SQLite would read and sort them all.
        rows = rows.prefetch_related("owner").defer("replay").annotate(running=is_running())
        found = list(rows[: limit + 1])
        page = found[:limit]
        following = (page[-1].created_at, page[-1].pk) if len(found) > limit else end
        self.searched_back_to = end[0] if end is not None and len(found) <= limit else None
        self.next_query = (
            self.get_query_string({"before": place_write(following)}) if following else ""
        )
        self.first_query = self.get_query_string(remove=["before"]) if start else ""
        _add_sizes(page)
        self._fill(page)

    def _fill(self, page: list[Conversation]) -> None:
        """Set what Django's templates and actions ask a list for."""
        self.result_list = page
        self.result_count = len(page)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = Paginator(page, self.list_per_page)
        is_all = not self.has_active_filters and not self.query
        self.estimate = conversations_estimate() if is_all else None

    def _needs_stretch(self) -> bool:
        if self.found_by == "id" or self.params.get("status") == Status.RUNNING:
            return False  # a few rows
        asked = [name for name in _INDEXED if self.params.get(name)]
        owners = self.found_by == "owner"
        return self.found_by == "title" or len(asked) + owners > 1

    def _stretch_end(self, start: PageKey | None) -> PageKey | None:
        """Give the last row of a stretch of one filter's index; None where the list ends before."""
        rows = Conversation.objects.alive().filter(**self._leading()).order_by(*_ORDER)
        if start is not None:
            rows = rows.filter(_behind(start))
        return rows.values_list("created_at", "id")[STRETCH : STRETCH + 1].first()

    def _leading(self) -> dict[str, Any]:
        """Give the one filter whose index is walked."""
        asked = {name: str(self.params.get(name) or "") for name in _INDEXED}
        if asked["owner"]:
            return {"owner_id": owner_id(asked["owner"]) or 0}
        if asked["state"] in set(AgentState):
            return {"agent_state": asked["state"]}
        return {"selected_repository": asked["repository"]} if asked["repository"] else {}


def _id_condition(text: str) -> Q | None:
    if found := id_read(text):
        return Q(pk=found)
    part = id_range(text.removeprefix("Conversation "))
    return Q(pk__gte=part[0], pk__lte=part[1]) if part else None


def _behind(key: PageKey) -> Q:
    # In this form both databases read one range of the index; the plain OR takes two.
    return Q(created_at__lte=key[0]) & (Q(created_at__lt=key[0]) | Q(id__lt=key[1]))


def _not_behind(key: PageKey) -> Q:
    return Q(created_at__gte=key[0]) & (Q(created_at__gt=key[0]) | Q(id__gte=key[1]))


def _add_sizes(page: list[Conversation]) -> None:
    until = time.monotonic() + _SIZES_SECONDS
    for row in page:
        # Beside the row, for the page only.
        row.workspace = workspace_size(workspace_path(row.pk), until=until, entries=_ENTRIES)  # type: ignore[attr-defined]


def conversations_estimate() -> int:
    """Give about how many conversations there are: from statistics, never by counting."""
    table = Conversation._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # to_regclass: this database's own table, whatever other schemas hold.
            cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [table])
        else:
            cursor.execute(f"SELECT max(rowid) FROM {table}")  # noqa: S608  # our own table
        row = cursor.fetchone()
    about = int(row[0] or 0) if row else 0
    # A small table is counted: statistics of it are old, or were never made.
    return about if about >= _COUNTED else Conversation.objects.all()[:_COUNTED].count()
