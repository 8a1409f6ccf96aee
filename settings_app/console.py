"""The console's site and what all its pages share: who comes in, and that nothing is edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, include, path, reverse

from settings_app.authentication import page_user

M = TypeVar("M", bound=Model)
View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A place that the head of every page links to."""

    title: str
    url_name: str
    permission: str
    #: Where it stands among the others.
    position: int


class ConsoleSite(admin.AdminSite):
    """The operators' site. People log in on the page that they know; strangers find nothing."""

    site_title = site_header = "Handrail"
    index_title = "Overview"
    enable_nav_sidebar = False
    index_template = "console/overview.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.pages: list[Page] = []
        #: Gives what the overview shows; set by the room that knows it.
        self.overview: Callable[[], dict[str, Any]] = dict
        self.disable_action("delete_selected")

    def add_page(self, page: Page) -> None:
        """Link to a page from all others, for those who may see it."""
        self.pages = sorted([*self.pages, page], key=lambda page: page.position)

    def admin_view(self, view: View, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002  # Django's own signature
        """Let staff in; everybody else learns nothing of what there is."""
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if settings.AUTH_MODE == "local":
                user = page_user(request)
                assert user is not None
                # Nowhere stored: who reaches loopback owns the machine (decision 10).
                user.is_staff = user.is_superuser = True
                request.user = user
            elif not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            elif not self.has_permission(request):
                raise Http404
            return inner(request, *args, **kwargs)

        return guarded

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Give the overview, the registered pages, and one answer for all other addresses."""
        nothing = self.admin_view(self._nothing)
        own: list[URLPattern | URLResolver] = [
            path("", self.admin_view(self.index), name="index"),
            path("jsi18n/", self.admin_view(self.i18n_javascript, cacheable=True), name="jsi18n"),
        ]
        for model, model_admin in self._registry.items():
            place = f"{model._meta.app_label}/{model._meta.model_name}/"
            own.append(path(place, include(model_admin.get_urls())))
        return [*own, path("<path:rest>", nothing)]

    def _nothing(self, request: HttpRequest, rest: str) -> HttpResponse:
        raise Http404

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Give none: the head of the page links to all that there is."""
        return []

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add the links that this person may follow."""
        here = request.path
        links = [
            {"title": page.title, "url": url, "here": here.startswith(url)}
            for page in self.pages
            if request.user.has_perm(page.permission)
            for url in [reverse(page.url_name)]
        ]
        return {
            **super().each_context(request),
            "links": links,
            "local_mode": settings.AUTH_MODE == "local",
        }

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the overview; to staff without a role, how to get one."""
        may_see = request.user.has_perm("conversations.view_conversation")
        shown = self.overview() if may_see else {}
        context = {**self.each_context(request), "title": "Overview", "is_overview": True}
        context |= {"may_see": may_see, **shown}
        return TemplateResponse(request, self.index_template or "", context)


def console() -> ConsoleSite:
    """Give the site that all pages are registered on."""
    return cast("ConsoleSite", admin.site)


class CalmChangeList(ChangeList):
    """A list that ignores parameters it does not know, and is sorted in one way."""

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        # A NUL is text that no database can look for.
        kept = request.GET.copy()
        for name, values in list(kept.lists()):
            kept.setlist(name, [value.replace("\0", "") for value in values])
        request.GET = kept  # type: ignore[assignment]  # Django's stub says immutable
        super().__init__(request, *args)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Keep the parameters of this list's filters: others would be columns, secret ones too."""
        known = {getattr(spec, "parameter_name", "") for spec in self.list_filter}
        found = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name in known}

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Give the one order that an index has."""
        return list(self.model_admin.ordering or ("-pk",))


class ReadOnlyAdmin(admin.ModelAdmin[M]):
    """A list and a page of each row; nothing is added, changed or deleted."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    # Counts of every choice, each a walk over the table.
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    view_on_site = False
    preserve_filters = False
    change_list_template = "console/list.html"

    def get_urls(self) -> list[URLPattern]:
        """Give the list and the rows' pages: no add, no delete, no history of edits."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name=f"{name}_changelist"),
            path("<path:object_id>/change/", wrap(self.change_view), name=f"{name}_change"),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Give the list's class."""
        return CalmChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow the filters of the list; by columns a password's hash could be guessed at."""
        return any(getattr(spec, "parameter_name", "") == lookup for spec in self.list_filter)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Refuse."""
        return False
