"""What POST /api/settings does not take: each time a 422 that names the field, never a 500."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from rest_framework.test import APIClient

from settings_app.models import UserSettings

URL = "/api/settings"
KEY = "sk-abcdefghijklmnop"


@pytest.fixture
def api() -> APIClient:
    return APIClient()


WRONG: list[tuple[object, str]] = [
    ({"llm_model": 5}, "llm_model"),
    ({"llm_model": ["a"]}, "llm_model"),
    ({"llm_model": True}, "llm_model"),
    ({"llm_model": "m" * 301}, "llm_model"),
    ({"llm_base_url": "u" * 2001}, "llm_base_url"),
    ({"llm_api_key": {"key": KEY}}, "llm_api_key"),
    ({"llm_api_key": "k" * 16385}, "llm_api_key"),
    ({"llm_api_key": "sk-\x00"}, "llm_api_key"),
    ({"llm_api_key": "sk-a\r\nX-Header: b"}, "llm_api_key"),
    ({"agent": "\x00"}, "agent"),
    ({"agent": "a" * 101}, "agent"),
    ({"language": "l" * 36}, "language"),
    ({"security_analyzer": "s" * 101}, "security_analyzer"),
    ({"confirmation_mode": "true"}, "confirmation_mode"),
    ({"confirmation_mode": 1}, "confirmation_mode"),
    ({"confirmation_mode": {}}, "confirmation_mode"),
    ({"enable_default_condenser": ""}, "enable_default_condenser"),
    ({"user_consents_to_analytics": "no"}, "user_consents_to_analytics"),
    ({"remote_runtime_resource_factor": "1"}, "remote_runtime_resource_factor"),
    ({"remote_runtime_resource_factor": True}, "remote_runtime_resource_factor"),
    ({"remote_runtime_resource_factor": 10**400}, "remote_runtime_resource_factor"),
    ({"remote_runtime_resource_factor": -1}, "remote_runtime_resource_factor"),
    ({"max_iterations": 0}, "max_iterations"),
    ({"max_iterations": 1.5}, "max_iterations"),
    ({"max_iterations": 10**30}, "max_iterations"),
    ({"max_iterations": False}, "max_iterations"),
    ({"provider_tokens": "ghp_1"}, "provider_tokens"),
    ({"provider_tokens": ["ghp_1"]}, "provider_tokens"),
    ({"provider_tokens": {"github": 5}}, "provider_tokens.github"),
    ({"provider_tokens": {"gitlab": "t" * 4097}}, "provider_tokens.gitlab"),
    ({"provider_tokens": {"sourceforge": "t"}}, "provider_tokens"),
    ([], "body"),
    ([{"llm_model": "m"}], "body"),
    ("text", "body"),
    (5, "body"),
    (None, "body"),
    (True, "body"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("body", "name"), WRONG)
def test_wrong_field_is_refused_by_name_and_nothing_is_stored(
    api: APIClient, body: object, name: str
) -> None:
    answer = api.generic("POST", URL, json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    told = answer.json()
    assert told["message"].startswith(f"{name}: ")
    assert "\n" not in told["message"]
    assert ".".join(["body", *name.split(".")]).endswith(".".join(told["detail"][0]["loc"]))
    assert set(told["detail"][0]) == {"type", "loc", "msg"}
    assert KEY not in answer.content.decode()
    assert not UserSettings.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"not json",
        b'{"llm_model": NaN}',
        b'{"remote_runtime_resource_factor": Infinity}',
        b'{"remote_runtime_resource_factor": 1e999}',
        b'{"llm_model": "\\ud800"}',
        b'{"llm_api_key": "\\udfff"}',
        b'{"provider_tokens": {"\\ud800": "t"}}',
        b'{"provider_tokens": {"github": "\\ud800"}}',
        b'{"llm_model": "\\u0000"}',
        b"\xff\xfe",
        b'{"llm_model": "\xff"}',
        b'{"max_iterations": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_not_a_json_object_of_settings_is_422_never_500(client: Client, raw: bytes) -> None:
    answer = client.post(URL, raw, content_type="application/json")
    assert answer.status_code == 422
    assert isinstance(answer.json()["message"], str)
    assert answer.json()["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-16", "hex", "bz2", "nonsense", "idna"])
def test_charset_of_the_request_does_not_matter(client: Client, charset: str) -> None:
    content_type = f"application/json; charset={charset}"
    body = '{"llm_model": "é"}'.encode()
    assert client.generic("POST", URL, body, content_type=content_type).status_code == 200
    assert client.get(URL).json()["llm_model"] == "é"


@pytest.mark.django_db
def test_other_methods_and_media_types_are_refused_in_json(api: APIClient) -> None:
    assert api.put(URL, {}).status_code == 405
    form = api.generic("POST", URL, "llm_model=m", "application/x-www-form-urlencoded")
    assert form.status_code == 415
    assert isinstance(form.json()["message"], str)
    assert api.get(f"{URL}/").status_code == 404
