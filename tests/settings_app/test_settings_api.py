"""Settings through the REST door: what is kept, cleared and masked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from rest_framework.test import APIClient

from settings_app.models import User, UserSettings
from settings_app.selectors import settings_for
from settings_app.services import local_user_get

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings

URL = "/api/settings"
KEY = "sk-abcdefghijklmnop"
FULL: dict[str, Any] = {
    "llm_model": "openai/gpt-4o",
    "llm_base_url": "https://llm.example/v1",
    "llm_api_key": KEY,
    "agent": "BrowsingAgent",
    "language": "de",
    "confirmation_mode": True,
    "security_analyzer": "invariant",
    "remote_runtime_resource_factor": 2,
    "enable_default_condenser": False,
    "enable_sound_notifications": True,
    "user_consents_to_analytics": False,
    "provider_tokens": {"github": "ghp_1", "gitlab": "glp_1"},
    "max_iterations": 40,
}
NULLS = dict.fromkeys(FULL)


@pytest.fixture
def api() -> APIClient:
    return APIClient()


def _get(api: APIClient) -> dict[str, Any]:
    answer = api.get(URL)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def _post(api: APIClient, body: object) -> None:
    answer = api.post(URL, body)
    assert (answer.status_code, answer.json()) == (200, {"message": "Settings stored"})


def _row() -> UserSettings:
    return UserSettings.objects.with_secrets().get(user=local_user_get())


@pytest.mark.django_db
def test_nothing_stored_is_404_so_that_the_client_asks(api: APIClient) -> None:
    answer = api.get(URL)
    assert (answer.status_code, answer.json()) == (404, {"error": "Settings not found"})
    assert settings_for(user_id=local_user_get().pk) is None


@pytest.mark.django_db
def test_everything_stored_is_answered_but_no_secret(api: APIClient) -> None:
    _post(api, FULL)
    answer = api.get(URL)
    for secret in (KEY, "ghp_1", "glp_1"):
        assert secret not in answer.content.decode()
    shown = {k: v for k, v in FULL.items() if k not in ("llm_api_key", "provider_tokens")}
    assert answer.json() == shown | {
        "llm_api_key": None,
        "llm_api_key_set": True,
        "provider_tokens_set": {"github": True, "gitlab": True},
        "secrets_store": {"provider_tokens": {}},
        "sandbox_base_container_image": None,
        "sandbox_runtime_container_image": None,
    }
    effective = settings_for(user_id=local_user_get().pk)
    assert effective is not None
    assert set(effective.secrets) == {KEY, "ghp_1", "glp_1"}
    assert effective.llm_api_key == KEY
    assert KEY not in repr(effective)
    assert "ghp_1" not in repr(effective)


@pytest.mark.django_db
def test_first_save_from_the_dialog_leaves_the_analytics_question_open(api: APIClient) -> None:
    _post(
        api,
        {
            "llm_model": "anthropic/claude-3-5-sonnet-20241022",
            "agent": "CodeActAgent",
            "language": "en",
            "confirmation_mode": False,
            "llm_api_key": "",
            "remote_runtime_resource_factor": 1,
            "enable_default_condenser": True,
            "enable_sound_notifications": False,
        },
    )
    body = _get(api)
    assert body["user_consents_to_analytics"] is None
    assert body["llm_base_url"] is None
    assert body["security_analyzer"] is None
    assert body["llm_api_key_set"] is False
    assert body["provider_tokens_set"] == {"github": False, "gitlab": False}


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, NULLS, {"provider_tokens": {}}, {"unknown": 1}])
def test_absent_and_null_keep_every_field(api: APIClient, body: dict[str, Any]) -> None:
    _post(api, FULL)
    before, key = _get(api), _row().llm_api_key
    _post(api, body)
    assert _get(api) == before
    assert _row().llm_api_key == key
    assert _row().provider_tokens == FULL["provider_tokens"]


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, NULLS, {"llm_api_key": None}, {"llm_api_key": "**********"}])
def test_nothing_said_to_an_empty_store_stores_the_defaults(
    api: APIClient, body: dict[str, Any]
) -> None:
    _post(api, body)
    told = _get(api)
    assert told["llm_api_key_set"] is False
    assert (told["agent"], told["language"]) == ("CodeActAgent", "en")


@pytest.mark.django_db
def test_empty_text_clears_a_field(api: APIClient) -> None:
    _post(api, FULL)
    _post(api, {"llm_base_url": "", "security_analyzer": "", "llm_api_key": "", "agent": ""})
    body = _get(api)
    assert (body["llm_base_url"], body["security_analyzer"]) == (None, None)
    assert body["llm_api_key_set"] is False
    assert body["agent"] == "CodeActAgent"
    assert body["llm_model"] == FULL["llm_model"]


@pytest.mark.django_db
def test_blank_key_counts_as_none(api: APIClient) -> None:
    _post(api, {"llm_api_key": "   "})
    assert _get(api)["llm_api_key_set"] is False
    effective = settings_for(user_id=local_user_get().pk)
    assert effective is not None
    assert not effective.is_set


@pytest.mark.django_db
@pytest.mark.parametrize("mask", ["**********", "*"])
def test_masked_key_and_token_keep_the_stored_ones(api: APIClient, mask: str) -> None:
    _post(api, FULL)
    _post(api, {"llm_api_key": mask, "provider_tokens": {"github": mask, "gitlab": "glp_2"}})
    assert _row().llm_api_key == KEY
    assert _row().provider_tokens == {"github": "ghp_1", "gitlab": "glp_2"}


@pytest.mark.django_db
def test_empty_token_keeps_its_stored_value(api: APIClient) -> None:
    _post(api, {"provider_tokens": {"github": "ghp_1"}})
    _post(api, {"provider_tokens": {"github": "", "gitlab": "glp_1"}})
    assert _row().provider_tokens == {"github": "ghp_1", "gitlab": "glp_1"}


@pytest.mark.django_db
def test_reset_puts_back_the_defaults_and_keeps_the_answer_about_analytics(api: APIClient) -> None:
    _post(api, FULL)
    assert api.post("/api/reset-settings").status_code == 200
    body = _get(api)
    assert (body["agent"], body["language"]) == ("CodeActAgent", "en")
    assert body["llm_api_key_set"] is False
    assert body["provider_tokens_set"] == {"github": False, "gitlab": False}
    assert body["enable_default_condenser"] is True
    assert body["max_iterations"] is None
    assert body["user_consents_to_analytics"] is False


@pytest.mark.django_db
def test_unset_tokens_forgets_the_tokens_alone(api: APIClient) -> None:
    assert api.post("/api/unset-settings-tokens").status_code == 200
    assert api.get(URL).status_code == 404
    _post(api, FULL)
    assert api.post("/api/unset-settings-tokens").status_code == 200
    assert _row().provider_tokens == {}
    assert _row().llm_api_key == KEY


@pytest.mark.django_db
def test_environment_answers_for_a_user_without_a_row(api: APIClient, settings: Settings) -> None:
    settings.LLM_API_KEY = "sk-of-the-deployment"
    settings.LLM_MODEL = "openai/o3"
    settings.LLM_BASE_URL = "https://llm.internal"
    body = _get(api)
    assert (body["llm_model"], body["llm_base_url"]) == ("openai/o3", "https://llm.internal")
    assert body["llm_api_key_set"] is True
    assert not UserSettings.objects.exists()
    effective = settings_for(user_id=local_user_get().pk)
    assert effective is not None
    assert effective.llm_api_key == "sk-of-the-deployment"
    assert effective.secrets == ("sk-of-the-deployment",)
    # The analytics question saves everything that GET has told, without a key.
    told = {name: body[name] for name in FULL if name in body}
    _post(api, told | {"user_consents_to_analytics": True})
    assert settings_for(user_id=local_user_get().pk) == effective


@pytest.mark.django_db
def test_deployments_key_never_goes_to_an_address_that_a_user_typed(
    api: APIClient, settings: Settings
) -> None:
    settings.LLM_API_KEY = "sk-of-the-deployment"
    _post(api, {"llm_base_url": "https://llm.example/v1"})
    effective = settings_for(user_id=local_user_get().pk)
    assert effective is not None
    assert not effective.is_set
    _post(api, {"llm_api_key": KEY})
    effective = settings_for(user_id=local_user_get().pk)
    assert effective is not None
    assert (effective.llm_api_key, effective.llm_base_url) == (KEY, "https://llm.example/v1")


@pytest.mark.django_db(transaction=True)
def test_a_read_costs_one_query(
    api: APIClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _post(api, FULL)
    with django_assert_num_queries(1):
        _get(api)
    user_id = local_user_get().pk
    with django_assert_num_queries(1):
        settings_for(user_id=user_id)


@pytest.mark.django_db(transaction=True)
def test_two_saves_at_once_lose_no_field() -> None:
    bodies = [
        {"llm_model": "openai/o3", "provider_tokens": {"github": "ghp_1"}},
        {"llm_base_url": "https://llm.example", "provider_tokens": {"gitlab": "glp_1"}},
        {"llm_api_key": KEY, "max_iterations": 7},
        {"language": "fr", "confirmation_mode": True},
    ]
    barrier = threading.Barrier(len(bodies), timeout=30)
    statuses: list[int] = []

    def save(body: dict[str, Any]) -> None:
        barrier.wait()
        statuses.append(APIClient().post(URL, body).status_code)
        connections.close_all()

    threads = [threading.Thread(target=save, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * len(bodies)
    row = _row()
    assert (row.llm_model, row.llm_base_url) == ("openai/o3", "https://llm.example")
    assert row.provider_tokens == {"github": "ghp_1", "gitlab": "glp_1"}
    assert (row.llm_api_key, row.max_iterations) == (KEY, 7)
    assert (row.language, row.confirmation_mode) == ("fr", True)
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_a_whole_number_may_be_written_as_json_allows(api: APIClient) -> None:
    _post(api, {"llm_api_key": KEY, "max_iterations": 40.0})
    assert _get(api)["max_iterations"] == 40


@pytest.mark.django_db
def test_the_deployments_key_goes_to_no_model_that_a_user_named(
    api: APIClient, settings: Settings
) -> None:
    settings.LLM_API_KEY, settings.LLM_MODEL = "sk-of-the-operator", "openai/own"
    for model, key in (("openai/own", "sk-of-the-operator"), ("baseten/abcd1234", "")):
        _post(api, {"llm_model": model})
        effective = settings_for(user_id=local_user_get().pk)
        assert effective is not None
        assert effective.llm_api_key == key
