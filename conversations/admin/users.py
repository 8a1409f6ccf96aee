"""Users in the console: what each has used this month, set, and which tokens are out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from knox.models import AuthToken

from conversations.admin import words
from conversations.admin.chart import cost_chart
from conversations.admin.overview import usage_days
from conversations.models import Conversation, DailyUsage
from settings_app.admin import audit
from settings_app.console import CalmChangeList, Page, ReadOnlyAdmin, console
from settings_app.models import SECRET_COLUMNS, User, UserSettings
from settings_app.services import token_revoke

LIST: Final = "admin:settings_app_user_changelist"
ONE: Final = "admin:settings_app_user_change"
REVOKE: Final = "knox.delete_authtoken"
_TOKENS: Final = 100
#: So much of a token tells people which one it is, and no machine enough.
_TOLD: Final = 8


def _add_month(users: Iterable[Any]) -> None:
    """Put beside each user what he has used since the first of the month. Three queries.

    For the users of one page: in the list's own query PostgreSQL would add up those of all.
    """
    by_id = {user.pk: user for user in users}
    start = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    used = DailyUsage.objects.filter(user__in=by_id, day__gte=start.date()).values("user")
    sums = used.annotate(c=Sum("cost"), p=Sum("prompt_tokens"), o=Sum("completion_tokens"))
    usage: dict[int, Any] = {row["user"]: row for row in sums}
    created = Conversation.objects.alive().filter(owner__in=by_id, created_at__gte=start)
    made = dict(created.values_list("owner").annotate(n=Count("pk")))
    out = AuthToken.objects.filter(user__in=by_id).order_by().values_list("user")
    tokens = dict(out.annotate(n=Count("pk")))
    for pk, user in by_id.items():
        row: dict[str, Any] = usage.get(pk, {})
        user.month_cost = row.get("c", 0.0)
        user.month_prompt, user.month_completion = row.get("p", 0), row.get("o", 0)
        user.month_created, user.api_tokens = made.get(pk, 0), tokens.get(pk, 0)


class UserChangeList(CalmChangeList):
    """The list, with each user's month."""

    def get_results(self, request: HttpRequest) -> None:
        """Read a page, then the month of those who stand on it."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        _add_month(self.result_list)


@admin.register(User)
class UserAdmin(ReadOnlyAdmin[User]):
    """Everybody."""

    list_display = (
        *("username", "role", "active", "cost", "tokens", "conversations", "token_number"),
        "seen",
    )
    search_fields = ("username__startswith", "email__startswith")
    search_help_text = "The beginning of a name or an e-mail address"
    ordering = ("username",)

    def get_urls(self) -> list[URLPattern]:
        """Add the way to revoke a token."""
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", revoke, name="settings_app_user_revoke"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Add their groups: a role is one of them."""
        return User.objects.prefetch_related("groups")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Give the list with the months."""
        return UserChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list."""
        return super().changelist_view(request, {"title": "Users", **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one user."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        user = self._find(request, object_id)
        if user is None:
            return _nobody(request)
        context = {**self.admin_site.each_context(request), **_one(request, user)}
        return TemplateResponse(request, "console/user.html", context)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then revoke a token."""
        if not request.user.has_perm(REVOKE):
            raise PermissionDenied
        user = self._find(request, object_id)
        if user is None:
            return _nobody(request)
        back = reverse(ONE, args=[user.pk])
        key = request.POST.get("token", "").replace("\0", "")
        if request.method != "POST" or not key:
            return HttpResponseRedirect(back)
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": "Revoke this token?",
                "person": user,
                "key": key,
                "told": key[:_TOLD],
                "back": back,
            }
            return TemplateResponse(request, "console/revoke.html", context)
        with transaction.atomic():
            revoked = token_revoke(user=user, token_key=key)
            if revoked:
                audit(request=request, row=user, message=f"Revoked the token {key[:_TOLD]}…")
        if revoked:
            messages.success(request, f"Revoked: whoever still sends {key[:_TOLD]}… gets a 401.")
        else:
            messages.info(request, "There is no such token (any more).")
        return HttpResponseRedirect(back)

    def _find(self, request: HttpRequest, text: str) -> Any:
        is_id = text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004  # fits a bigint
        user = self.get_queryset(request).filter(pk=int(text)).first() if is_id else None
        if user is not None:
            _add_month([user])
        return user

    @admin.display(description="Role")
    def role(self, user: User) -> str:
        """Show what he may do in the console."""
        return role_of(user)

    @admin.display(description="Active", boolean=True)
    def active(self, user: User) -> bool:
        """Show whether he may log in."""
        return user.is_active

    @admin.display(description="Cost this month")
    def cost(self, user: Any) -> str:
        """Show the sum."""
        return words.money(user.month_cost)

    @admin.display(description="Tokens this month")
    def tokens(self, user: Any) -> str:
        """Show what went in and what came out."""
        return f"{user.month_prompt:,} in, {user.month_completion:,} out"

    @admin.display(description="Conversations this month")
    def conversations(self, user: Any) -> str:
        """Show how many he has made and kept."""
        return f"{user.month_created:,}"

    @admin.display(description="API tokens")
    def token_number(self, user: Any) -> int:
        """Show how many are out."""
        return int(user.api_tokens)

    @admin.display(description="Last login")
    def seen(self, user: User) -> str:
        """Show when."""
        return f"{words.since(user.last_login)} ago" if user.last_login else words.NOTHING


def role_of(user: User) -> str:
    """Give the word for what somebody may do in the console."""
    if user.is_superuser:
        return "superuser"
    return (
        ", ".join(sorted(group.name for group in user.groups.all())) if user.is_staff else ""
    ) or words.NOTHING


def _nobody(request: HttpRequest) -> HttpResponse:
    messages.warning(request, "There is no such user (any more).")
    return HttpResponseRedirect(reverse(LIST))


def _one(request: HttpRequest, user: Any) -> dict[str, Any]:
    days = usage_days(DailyUsage.objects.filter(user=user), timezone.now().date())
    listed = reverse("admin:conversations_conversation_changelist")
    return {
        "title": user.get_username(),
        "person": user,
        "role": role_of(user),
        "cost": words.money(user.month_cost),
        "chart": cost_chart(days),
        "days": [(day, words.money(cost)) for day, cost in reversed(days) if cost],
        "listed": listed,
        "api_tokens_shown": _api_tokens(user)
        if request.user.has_perm("knox.view_authtoken")
        else [],
        "may_revoke": request.user.has_perm(REVOKE),
        "own_settings": _settings(user),
    }


def _api_tokens(user: User) -> list[dict[str, Any]]:
    rows = AuthToken.objects.filter(user=user).order_by("-created")[:_TOKENS]
    now = timezone.now()
    return [
        {
            "key": row.token_key,
            "told": row.token_key[:_TOLD],
            "created": row.created,
            "expiry": row.expiry,
            "expired": row.expiry is not None and row.expiry < now,
        }
        for row in rows
    ]


def _settings(user: User) -> list[tuple[str, Any]]:
    """Give what he has set, without the secrets: those stay in the database."""
    row = UserSettings.objects.filter(user=user).first()
    if row is None:
        return []
    hidden = {"user", *SECRET_COLUMNS}
    shown = [field for field in UserSettings._meta.concrete_fields if field.name not in hidden]
    return [
        (
            str(field.verbose_name).capitalize().replace("Llm", "LLM"),
            _said(getattr(row, field.name)),
        )
        for field in shown
    ]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return words.NOTHING if value in (None, "") else str(value)


console().add_page(Page("Users", LIST, "settings_app.view_user", 3))
