"""Who may do what in the console: two groups, made after each migrate. No pages here."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from settings_app.models import User

VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
#: What both see: app and model.
_SEEN: Final = (
    *(("conversations", name) for name in ("conversation", "eventrecord", "looplease")),
    ("settings_app", "user"),
    ("settings_app", "usersettings"),
    ("knox", "authtoken"),
    ("admin", "logentry"),
)
_OPERATED: Final = (("conversations", "operate_conversation"), ("knox", "delete_authtoken"))


class UnknownPersonError(LookupError):
    """There is no such user."""


def roles_ensure(**_: Any) -> None:
    """Make the two groups with their permissions. Idempotent; takes what a signal sends."""
    seen = [(app, f"view_{model}") for app, model in _SEEN]
    for name, codes in ((VIEWER, seen), (OPERATOR, [*seen, *_OPERATED])):
        group = Group.objects.get_or_create(name=name)[0]
        wanted = Q()
        for app, code in codes:
            wanted |= Q(content_type__app_label=app, codename=code)
        group.permissions.set(Permission.objects.filter(wanted))


@transaction.atomic
def role_set(*, username: str, role: str) -> None:
    """Let a person into the console as `viewer` or `operator`; "" puts him out of it.

    Raises UnknownPersonError.
    """
    user = User.objects.select_for_update().filter(username=username).first()
    if user is None:
        raise UnknownPersonError(username)
    user.groups.remove(*Group.objects.filter(name__in=[VIEWER, OPERATOR]))
    if role:
        user.groups.add(Group.objects.get(name=role))
    user.is_staff = bool(role)
    user.save(update_fields=["is_staff"])
