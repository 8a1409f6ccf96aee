"""Secrets in the database: unreadable there, readable with the ring, refused loudly without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection

from settings_app.exceptions import SecretUnreadableError
from settings_app.models import User, UserSettings
from settings_app.services import provider_tokens_clear, settings_store

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

KEY = "sk-abcdefghijklmnop"


@pytest.fixture
def user() -> User:
    return User.objects.create(username="ada")


def _columns() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT llm_api_key, provider_tokens FROM settings_app_usersettings")
        key, tokens = cursor.fetchone()
    return key, tokens


def _stored(user: User) -> UserSettings:
    return UserSettings.objects.with_secrets().get(user=user)


def test_secrets_are_not_in_the_database_and_come_back(user: User) -> None:
    settings_store(user=user, fields={"llm_api_key": KEY, "provider_tokens": {"github": "ghp_1"}})
    key, tokens = _columns()
    assert key.startswith("gAAAA")
    assert KEY not in key
    assert "ghp_1" not in tokens
    assert "github" not in tokens
    row = _stored(user)
    assert (row.llm_api_key, row.provider_tokens) == (KEY, {"github": "ghp_1"})


def test_no_secret_is_stored_as_empty_text(user: User) -> None:
    settings_store(user=user, fields={})
    assert _columns() == ("", "")
    assert (_stored(user).llm_api_key, _stored(user).provider_tokens) == ("", {})


def test_first_key_writes_and_every_key_reads(user: User, settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [old]
    settings_store(user=user, fields={"llm_api_key": KEY})
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert _stored(user).llm_api_key == KEY
    settings_store(user=user, fields={"llm_api_key": KEY})
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert _stored(user).llm_api_key == KEY


def test_lost_key_raises_and_says_which_setting(user: User, settings: Settings) -> None:
    settings_store(user=user, fields={"llm_api_key": KEY, "provider_tokens": {"github": "ghp_1"}})
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(SecretUnreadableError, match="FIELD_ENCRYPTION_KEYS"):
        _stored(user)
    # A way out: what was lost can be stored anew and cleared.
    settings_store(user=user, fields={"llm_api_key": "sk-new"})
    provider_tokens_clear(user=user)
    assert _stored(user).llm_api_key == "sk-new"


def test_ring_without_a_usable_key_is_refused(user: User, settings: Settings) -> None:
    for keys in ([], ["short"]):
        settings.FIELD_ENCRYPTION_KEYS = keys
        with pytest.raises(ImproperlyConfigured, match="FIELD_ENCRYPTION_KEYS"):
            settings_store(user=user, fields={"llm_api_key": KEY})


def test_lookups_are_refused_but_for_isnull(user: User) -> None:
    settings_store(user=user, fields={"llm_api_key": KEY})
    for lookup in ("llm_api_key", "llm_api_key__contains", "llm_api_key__in", "provider_tokens__x"):
        with pytest.raises(FieldError, match="encrypted"):
            UserSettings.objects.filter(**{lookup: KEY})
    assert UserSettings.objects.filter(llm_api_key__isnull=False).count() == 1


def test_lists_leave_secrets_in_the_database(
    user: User, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings_store(user=user, fields={"llm_api_key": KEY})
    # With no key that reads it, any attempt to decrypt would raise.
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with django_assert_num_queries(1):
        rows = list(UserSettings.objects.all())
    assert rows[0].get_deferred_fields() == {"llm_api_key", "provider_tokens"}
    with pytest.raises(SecretUnreadableError):
        _ = rows[0].llm_api_key
