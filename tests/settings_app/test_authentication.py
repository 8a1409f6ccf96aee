"""Who is asking: the one local user in local mode, nobody without a login in accounts mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from rest_framework.test import APIClient, APIRequestFactory

from settings_app.authentication import (
    AccountAuthentication,
    LocalUserAuthentication,
    socket_user,
)
from settings_app.models import User
from settings_app.services import local_user_get
from settings_app.views import SettingsView

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings

URL = "/api/settings"


@pytest.mark.django_db
def test_local_user_is_made_once_and_cannot_log_in() -> None:
    first = local_user_get()
    assert (first.username, first.has_usable_password()) == ("local", False)
    assert local_user_get() == first
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_local_user_costs_no_query_once_remembered_and_survives_a_flush(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    api = APIClient()
    assert api.post(URL, {"llm_model": "m"}).status_code == 200
    with django_assert_num_queries(1):
        assert api.get(URL).status_code == 200
    call_command("flush", interactive=False)
    assert User.objects.count() == 0
    assert api.get(URL).status_code == 404
    assert api.post(URL, {"llm_model": "m"}).status_code == 200
    User.objects.all().delete()
    assert api.post(URL, {"llm_model": "m"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("attempt", [1, 2])
def test_local_user_of_a_rolled_back_transaction_is_not_remembered(attempt: int) -> None:
    # The first attempt's user went with its transaction: remembered, it would break this one.
    assert APIClient().post(URL, {"llm_model": "m"}).status_code == 200, attempt


@pytest.mark.django_db
def test_socket_is_the_local_users_in_local_mode_and_nobodys_in_accounts_mode(
    settings: Settings,
) -> None:
    assert socket_user() == local_user_get()
    settings.AUTH_MODE = "accounts"
    with pytest.raises(PermissionDenied, match="Log in first"):
        socket_user()


class AccountsSettingsView(SettingsView):
    authentication_classes = [LocalUserAuthentication, AccountAuthentication]


@pytest.mark.django_db
def test_accounts_mode_knows_only_who_has_logged_in(settings: Settings) -> None:
    settings.AUTH_MODE = "accounts"
    view = AccountsSettingsView.as_view()
    request = APIRequestFactory().post(URL, {"llm_model": "m"})
    answer = view(request)
    assert answer.status_code == 403
    assert "credentials" in answer.data["message"]
    assert not User.objects.exists()

    request = APIRequestFactory(enforce_csrf_checks=True).post(URL, {"llm_model": "m"})
    request.user = User.objects.create(username="ada")
    assert view(request).status_code == 200
    request = APIRequestFactory().get(URL)
    request.user = User.objects.create(username="bob")
    assert view(request).status_code == 404
