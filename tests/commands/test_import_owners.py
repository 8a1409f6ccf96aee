"""Settings of a store, whose everything is, and arguments that say it wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conversations.models import Conversation, EventRecord
from settings_app.models import UserSettings
from settings_app.services import local_user_get
from tests.commands.stores import ID, OTHER_ID, Store, as_process, in_process, message, state
from tests.factories import UserFactory

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _settings() -> dict[str, Any]:
    row = UserSettings.objects.with_secrets().get(user=local_user_get())
    names = ("llm_model", "llm_api_key", "llm_base_url", "language", "provider_tokens")
    return {name: getattr(row, name) for name in names}


def test_settings_come_in_where_there_are_none(store: Store) -> None:
    tokens = {"github": {"token": "ghp_1", "user_id": "x"}, "gitlab": {"token": ""}}
    store.settings(
        llm_model="openai/x",
        llm_api_key="sk-1",
        llm_base_url=None,
        language="de",
        secrets_store={"provider_tokens": tokens},
        sandbox_base_container_image="python",
    )
    first = in_process(store.path).report["settings"]
    assert (first["outcome"], first["owner"]) == ("imported", "local")
    expected: dict[str, Any] = {"llm_model": "openai/x", "llm_api_key": "sk-1", "llm_base_url": ""}
    expected |= {"language": "de", "provider_tokens": {"github": "ghp_1"}}
    assert _settings() == expected
    store.settings(llm_model="openai/y", llm_api_key="**********", llm_base_url="http://y")
    again = in_process(store.path)
    assert (again.code, again.report["settings"]["outcome"]) == (0, "already_there")
    assert "the owner has settings; they were left as they are" in again.err
    assert _settings() == expected
    assert in_process(store.path, "--overwrite-settings").code == 0
    # An old key does not go to a new address.
    expected |= {"llm_model": "openai/y", "llm_base_url": "http://y", "llm_api_key": ""}
    assert _settings() == expected | {"language": "en", "provider_tokens": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("[]", "is not a JSON object"),
        ('{"llm_model": 3, "llm_api_key": "sk-of-damage"}', "llm_model: must be a string"),
        ('{"provider_tokens": {"github": ["sk-of-damage"]}}', "provider_tokens: cannot be used"),
    ],
)
def test_damaged_settings_are_skipped_and_the_rest_comes_in(
    store: Store, text: str, said: str
) -> None:
    (store.path / "settings.json").write_text(text)
    store.conversation(message("sk-of-damage" if "api_key" in text else "x"), state("stopped"))
    done = in_process(store.path)
    assert (done.code, done.outcomes) == (1, {ID: "imported"})
    assert f"Skipped: settings.json: {said}" in done.err
    assert not UserSettings.objects.exists()
    assert "sk-of-damage" not in done.err + done.out + repr(list(EventRecord.objects.values()))


def test_an_id_of_another_user_is_refused_without_a_word_more(
    store: Store, settings: Settings
) -> None:
    settings.AUTH_MODE = "accounts"
    one, two = UserFactory.create(), UserFactory.create()
    store.conversation(message("Hi"), state("stopped"), title="Hers")
    assert in_process(store.path, "--owner", one.username).code == 0
    done = in_process(store.path, "--owner", two.username)
    assert (done.code, done.outcomes) == (1, {ID: "skipped"})
    assert f"Skipped: sessions/{ID}: this id is not free here." in done.err
    assert "Hers" not in done.err + done.out
    assert one.username not in done.err + done.out
    assert Conversation.objects.get().owner == one


def test_signed_in_users_are_mapped_and_the_others_skipped(
    store: Store, settings: Settings
) -> None:
    settings.AUTH_MODE = "accounts"
    one, two = UserFactory.create(), UserFactory.create()
    third = "33" * 16
    store.conversation(message("Hi"))
    store.conversation(message("Hi"), conversation_id=OTHER_ID, user_id="42")
    store.conversation(message("Hi"), conversation_id=third, user_id="a=b")
    store.settings(language="de")
    done = in_process(store.path, "--owner", one.username, "--map", f"42={two.username}")
    assert (done.code, done.outcomes) == (
        1,
        {ID: "imported", OTHER_ID: "imported", third: "skipped"},
    )
    assert "whose it is is not known; --map USER_ID=NAME says it" in done.err
    assert Conversation.objects.get(pk=ID).owner == one
    assert Conversation.objects.get(pk=OTHER_ID).owner == two
    assert UserSettings.objects.get().user == one
    done = in_process(store.path, "--map", f"a=b={two.username}", "--map", f"42={two.username}")
    assert done.outcomes == {ID: "skipped", OTHER_ID: "already_there", third: "imported"}
    assert "settings.json: whose it is is not known; --owner NAME says it" in done.err
    settings.AUTH_MODE = "local"
    assert in_process(store.path).code == 1


@pytest.mark.parametrize(
    ("mode", "arguments", "said"),
    [
        ("local", ["--owner", "somebody"], "With AUTH_MODE=local there is one user"),
        ("local", ["--map", "1=local"], "With AUTH_MODE=local there is one user"),
        ("local", ["--timezone", "Mars/Olympus"], "--timezone='Mars/Olympus': no such time zone"),
        ("local", ["--timezone", "../../etc/passwd"], "no such time zone"),
        ("accounts", [], "say who gets it: --owner NAME"),
        ("accounts", ["--owner", "nobody"], "There is no user 'nobody' here"),
        ("accounts", ["--map", "nobody"], "it must be USER_ID=NAME"),
        ("accounts", ["--map", "7=x"], "the store has no conversations of that user"),
    ],
)
def test_bad_arguments_end_it_before_anything_is_done(
    store: Store, settings: Settings, mode: str, arguments: list[str], said: str
) -> None:
    settings.AUTH_MODE = mode
    store.conversation(message("Hi"))
    done = in_process(store.path, *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not Conversation.objects.exists()


def test_a_path_that_is_no_store_is_refused(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path / "absent", "cannot be opened: No such file or directory"),
        (tmp_path, "has neither sessions, users nor settings.json"),
        (Path(__file__), "cannot be opened: Not a directory"),
    ):
        done = in_process(path)
        assert (done.code, done.out) == (2, "")
        assert said in done.err


def test_the_command_line_ends_with_two_for_bad_arguments(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path)}
    assert as_process(environment, tmp_path, "--no-such-option").code == 2
    done = as_process(environment, tmp_path / "absent")
    assert (done.code, done.out) == (2, "")
