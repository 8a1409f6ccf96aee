"""`rotate_secrets`: every secret under the first key, and no secret in what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from settings_app.models import User, UserSettings
from settings_app.services import settings_store
from tests.commands.rotating import (
    FIRST_ID,
    LOST,
    NEW,
    OLD,
    TABLE,
    as_process,
    expected,
    in_process,
    raw_of,
    secrets,
)
from tests.databases import database_environment

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings


@pytest.mark.django_db
def test_after_a_rotation_the_new_key_alone_reads_all(
    stored: Callable[..., list[User]], settings: Settings
) -> None:
    stored(1, 2, 3)
    changed = UserSettings.objects.get(pk=FIRST_ID + 1).updated_at
    done = in_process()
    assert (done.code, done.err) == (0, "")
    assert done.counts == {
        "Rows read": 3,
        "Rows re-encrypted": 3,
        "Rows already current": 0,
        "Rows overtaken by a save": 0,
        "Unreadable secrets": 0,
    }
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == expected(1, 2, 3)
    assert UserSettings.objects.get(pk=FIRST_ID + 1).updated_at == changed, "no user changed it"


@pytest.mark.django_db
def test_a_dry_run_says_the_same_and_writes_nothing(stored: Callable[..., list[User]]) -> None:
    stored(1, 2)
    before = [raw_of(FIRST_ID + 1), raw_of(FIRST_ID + 2)]
    done = in_process("--dry-run")
    assert done.code == 0
    assert done.counts["Rows to re-encrypt"] == 2
    assert "nothing was written" in done.out
    assert [raw_of(FIRST_ID + 1), raw_of(FIRST_ID + 2)] == before


@pytest.mark.django_db
def test_a_second_run_reads_in_batches_and_changes_nothing(
    stored: Callable[..., list[User]], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    stored(*range(7))
    with django_assert_num_queries(3 + 7):
        assert in_process("--batch-size", "3").counts["Rows re-encrypted"] == 7
    before = [raw_of(FIRST_ID + n) for n in range(7)]
    with django_assert_num_queries(3):
        done = in_process("--batch-size", "3")
    assert (done.counts["Rows read"], done.counts["Rows already current"]) == (7, 7)
    with django_assert_num_queries(2):
        assert in_process("--batch-size", "7").counts["Rows read"] == 7
    assert [raw_of(FIRST_ID + n) for n in range(7)] == before


@pytest.mark.django_db
def test_only_what_the_first_key_does_not_read_is_written(
    stored: Callable[..., list[User]],
) -> None:
    user = stored(1)[0]
    settings_store(user=user, fields={"llm_api_key": "sk-new"})
    key, tokens = raw_of(user.pk)
    assert in_process().counts["Rows re-encrypted"] == 1
    assert raw_of(user.pk)[0] == key
    assert raw_of(user.pk)[1] != tokens


@pytest.mark.django_db
def test_nothing_stored_is_nothing_to_do(settings: Settings) -> None:
    assert set(in_process().counts.values()) == {0}
    user = User.objects.create(username="ada")
    settings_store(user=user, fields={})
    # Neither does a user without secrets need a key that could read them.
    settings.FIELD_ENCRYPTION_KEYS = [LOST]
    assert in_process().counts["Rows already current"] == 1
    assert raw_of(user.pk) == ("", "")


@pytest.mark.django_db
def test_a_lost_key_is_loud_and_stops_no_other_row(
    stored: Callable[..., list[User]], settings: Settings
) -> None:
    stored(1, 3)
    lost = stored(2, key=LOST)[0]
    # One secret of the two is readable: it is done.
    half = stored(4, key=LOST)[0]
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    settings_store(user=half, fields={"llm_api_key": "sk-4"})
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    untouched, half_before = raw_of(lost.pk), raw_of(half.pk)
    done = in_process()
    assert done.code == 1
    assert done.counts == {
        "Rows read": 4,
        "Rows re-encrypted": 3,
        "Rows already current": 0,
        "Rows overtaken by a save": 0,
        "Unreadable secrets": 3,
    }
    *told, last = done.err.splitlines()
    for line, column, user in zip(
        told, ("llm_api_key", "provider_tokens", "provider_tokens"), (lost, lost, half), strict=True
    ):
        assert f"{column} of user {user.pk} " in line
        assert "FIELD_ENCRYPTION_KEYS" in line
    assert last.startswith("CommandError: ")
    assert "FIELD_ENCRYPTION_KEYS" in last
    assert "may be taken out" not in done.out
    assert raw_of(lost.pk) == untouched
    assert raw_of(half.pk)[0] != half_before[0]
    assert raw_of(half.pk)[1] == half_before[1]
    settings.FIELD_ENCRYPTION_KEYS = [NEW, LOST]
    assert in_process().code == 0, "with the key back, the rest is done"
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == expected(1, 2, 3, 4)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["plain", "ключ", "gAAAA", "*", "\n"])
def test_what_is_no_ciphertext_is_unreadable_too(
    stored: Callable[..., list[User]], text: str
) -> None:
    user = stored(1)[0]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET llm_api_key = %s WHERE user_id = %s",  # noqa: S608
            [text, user.pk],
        )
    done = in_process("--json")
    assert done.code == 1
    assert json.loads(done.out)["unreadable_secrets"] == [
        {"user_id": user.pk, "column": "llm_api_key"}
    ]
    assert raw_of(user.pk)[0] == text


def test_the_command_line_reports_json_and_fails_by_its_exit_code(
    transactional_db: None, stored: Callable[..., list[User]], settings: Settings, tmp_path: Path
) -> None:
    stored(1)
    done = as_process(tmp_path, "--json", "--dry-run", keys=f"{NEW} {OLD}")
    assert (done.code, done.err) == (0, "")
    report = {
        "dry_run": True,
        "read": 1,
        "reencrypted": 1,
        "current": 0,
        "overtaken": 0,
        "unsettled": 0,
        "unreadable": 0,
        "unreadable_secrets": [],
    }
    assert json.loads(done.out) == report
    assert json.loads(as_process(tmp_path, "--json", keys=f"{NEW},{OLD}").out) == report | {
        "dry_run": False
    }
    done = as_process(tmp_path, "--json", keys=LOST)
    assert done.code == 1
    assert json.loads(done.out)["unreadable"] == 2
    assert done.err.count("FIELD_ENCRYPTION_KEYS") == 3
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == expected(1)


def test_a_database_that_was_not_migrated_is_said_in_a_line(tmp_path: Path) -> None:
    database = database_environment(tmp_path / "data", migrated=False)
    done = as_process(tmp_path / "data", keys=NEW, database=database)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("CommandError: The database does not answer: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch-size", "0"),
        ("--batch-size", "-1"),
        ("--batch-size=x",),
        ("--batch-size=",),
        ("--batch-size", "10000"),
        ("--batch-size", "1.5"),
        ("--batch-size", "1\n2"),
        ("--batch-size", "٣"),
    ],
)
def test_a_wrong_batch_size_is_refused_in_a_line(arguments: tuple[str, ...]) -> None:
    done = in_process(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "--batch-size" in done.err
    assert "a whole number from 1 to 9999" in done.err
    assert done.err.count("\n") == 1


def test_a_wrong_batch_size_is_one_line_on_the_command_line_too(tmp_path: Path) -> None:
    done = as_process(tmp_path, "--batch-size", "-1", keys=NEW, database={})
    assert (done.code, done.out) == (2, "")
    said = "argument --batch-size: '-1': it must be a whole number from 1 to 9999\n"
    assert done.err == f"manage.py rotate_secrets: {said}"
