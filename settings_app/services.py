"""Every write of this room. Fields come in checked (serializers.py); no HTTP here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from django.db import transaction
from django.utils import timezone
from knox.models import AuthToken

from settings_app.models import DEFAULT_AGENT, DEFAULT_LANGUAGE, User, UserSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL_USERNAME = "local"


class SettingsFields(TypedDict, total=False):
    """What one save may bring: an absent field or None keeps what is stored, "" clears it."""

    llm_model: str | None
    llm_base_url: str | None
    llm_api_key: str | None
    agent: str | None
    language: str | None
    confirmation_mode: bool | None
    security_analyzer: str | None
    remote_runtime_resource_factor: float | None
    enable_default_condenser: bool | None
    enable_sound_notifications: bool | None
    user_consents_to_analytics: bool | None
    provider_tokens: Mapping[str, str | None] | None
    max_iterations: int | None


def local_user_get() -> User:
    """Give the one user of AUTH_MODE=local; the first call makes it, without a usable password."""
    try:
        return User.objects.get(username=LOCAL_USERNAME)
    except User.DoesNotExist:
        user = User(username=LOCAL_USERNAME)
        user.set_unusable_password()
        return User.objects.get_or_create(
            username=LOCAL_USERNAME, defaults={"password": user.password}
        )[0]


@transaction.atomic
def settings_store(*, user: User, fields: SettingsFields) -> None:
    """Store the given fields of a user's settings and no other: two saves at once lose nothing.

    A masked key or token (asterisks only) keeps the stored one; so does "" for a token.
    Raises SecretUnreadableError when tokens are given and the stored ones cannot be read.
    """
    columns: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if _is_mask(columns.get("llm_api_key")):
        del columns["llm_api_key"]
    for name, default in (("agent", DEFAULT_AGENT), ("language", DEFAULT_LANGUAGE)):
        # Cleared means the default here: without these two the web client does not work.
        if columns.get(name) == "":
            columns[name] = default
    tokens = {
        provider: token
        for provider, token in (columns.pop("provider_tokens", None) or {}).items()
        if token and not _is_mask(token)
    }
    UserSettings.objects.get_or_create(user=user)
    if tokens:
        # The tokens share a column: the lock keeps a second save from merging with the past.
        row = UserSettings.objects.with_secrets().select_for_update().get(user=user)
        columns["provider_tokens"] = row.provider_tokens | tokens
    UserSettings.objects.filter(user=user).update(**columns, updated_at=timezone.now())


@transaction.atomic
def settings_take_over(*, user: User, fields: SettingsFields, overwrite: bool) -> bool:
    """Store settings that a user had on another server; whether that was done.

    Not where the user has settings already, unless `overwrite`: then nothing of the old ones stays,
    lest an old key go to a new address. Only the answer about analytics does.
    """
    if not UserSettings.objects.get_or_create(user=user)[1]:
        if not overwrite:
            return False
        settings_reset(user=user)
    settings_store(user=user, fields=fields)
    return True


@transaction.atomic
def settings_reset(*, user: User) -> None:
    """Put all back to the defaults, key and tokens too. The answer about analytics stays."""
    kept = {"user", "user_consents_to_analytics", "updated_at"}
    defaults = {
        field.name: field.get_default()
        for field in UserSettings._meta.concrete_fields
        if field.name not in kept
    }
    UserSettings.objects.get_or_create(user=user)
    UserSettings.objects.filter(user=user).update(**defaults, updated_at=timezone.now())


def provider_tokens_clear(*, user: User) -> None:
    """Forget a user's provider tokens; a user without settings stays without."""
    UserSettings.objects.filter(user=user).update(provider_tokens={}, updated_at=timezone.now())


def _is_mask(value: str | None) -> bool:
    return bool(value) and set(value or "") == {"*"}


def token_revoke(*, user: User, token_key: str) -> bool:
    """Make one of a user's API tokens void, at once; False where he has none such."""
    return bool(AuthToken.objects.filter(user=user, token_key=token_key).delete()[0])
