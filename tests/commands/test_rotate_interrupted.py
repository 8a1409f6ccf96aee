"""`rotate_secrets` beside saves, and killed: no save is lost, and the next run does the rest."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection, connections

from settings_app.models import User
from settings_app.services import provider_tokens_clear, settings_reset, settings_store
from tests.commands.rotating import (
    FIRST_ID,
    NEW,
    OLD,
    TABLE,
    as_process,
    expected,
    in_process,
    secrets,
)
from tests.killed_server import ORDER

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings


class Interruption:
    """Does something on another thread and connection before a row is written, `times` times."""

    def __init__(self, work: Callable[[], object], times: int = 1) -> None:
        self._work = work
        self._times = times

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,  # Django's
        context: dict[str, Any],
    ) -> Any:
        if sql.startswith("UPDATE") and self._times:
            self._times -= 1
            thread = threading.Thread(target=self._and_close)
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    def _and_close(self) -> None:
        try:
            self._work()
        finally:
            connections.close_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("save", "kept"),
    [
        (
            lambda user: settings_store(user=user, fields={"llm_api_key": "sk-new"}),
            ("sk-new", {"github": "ghp_1"}),
        ),
        (
            lambda user: settings_store(user=user, fields={"provider_tokens": {"gitlab": "x"}}),
            ("sk-1", {"github": "ghp_1", "gitlab": "x"}),
        ),
        (
            lambda user: settings_store(user=user, fields={"llm_api_key": ""}),
            ("", {"github": "ghp_1"}),
        ),
        (lambda user: provider_tokens_clear(user=user), ("sk-1", {})),
        (lambda user: settings_reset(user=user), ("", {})),
    ],
    ids=["new key", "more tokens", "key cleared", "tokens cleared", "reset"],
)
def test_a_save_between_read_and_write_is_kept(
    stored: Callable[..., list[User]],
    settings: Settings,
    save: Callable[[User], None],
    kept: tuple[str, dict[str, str]],
) -> None:
    users = stored(1, 2)
    with connection.execute_wrapper(Interruption(lambda: save(users[0]))):
        done = in_process()
    assert done.code == 0
    assert done.counts["Rows read"] == 2
    assert done.counts["Rows overtaken by a save"] == 1
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == {users[0].pk: kept} | expected(2)


@pytest.mark.django_db(transaction=True)
def test_a_user_deleted_between_read_and_write_stays_deleted(
    stored: Callable[..., list[User]],
) -> None:
    users = stored(1, 2)
    with connection.execute_wrapper(Interruption(lambda: users[0].delete())):
        done = in_process()
    assert (done.code, done.counts["Rows re-encrypted"]) == (0, 1)
    assert secrets() == expected(2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [2, 100])
def test_saves_under_the_old_key_are_tried_again_but_not_for_ever(
    stored: Callable[..., list[User]], settings: Settings, times: int
) -> None:
    user = stored(1)[0]
    old = Fernet(OLD.encode())

    def save_as_a_server_that_was_not_restarted() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {TABLE} SET llm_api_key = %s WHERE user_id = %s",  # noqa: S608
                [old.encrypt(b"sk-1").decode(), user.pk],
            )

    with connection.execute_wrapper(Interruption(save_as_a_server_that_was_not_restarted, times)):
        done = in_process()
    assert done.counts["Rows overtaken by a save"] == 1
    if times > 2:
        assert done.code == 1
        assert "Rows saved again at each try: 1." in done.err
        assert "may be taken out" not in done.out
        done = in_process()
    assert (done.code, done.counts["Rows re-encrypted"]) == (0, 1)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == expected(1)


@pytest.mark.django_db(transaction=True)
def test_of_many_saves_beside_it_none_is_lost(
    stored: Callable[..., list[User]], settings: Settings
) -> None:
    users = stored(*range(60))
    failed: list[Exception] = []

    def save_all() -> None:
        try:
            for user in reversed(users):
                settings_store(user=user, fields={"llm_api_key": f"sk-saved-{user.pk}"})
        except Exception as error:  # noqa: BLE001  # told below, on the test's own thread
            failed.append(error)
        finally:
            connections.close_all()

    saver = threading.Thread(target=save_all)
    saver.start()
    done = in_process("--batch-size", "20")
    saver.join()
    assert not failed
    assert (done.code, done.counts["Rows read"]) == (0, 60)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == {
        pk: (f"sk-saved-{pk}", tokens) for pk, (_, tokens) in expected(*range(60)).items()
    }


def test_after_kill_9_in_the_middle_the_next_run_does_the_rest(
    transactional_db: None, stored: Callable[..., list[User]], settings: Settings, tmp_path: Path
) -> None:
    stored(*range(6))
    keys = f"{NEW},{OLD}"
    killed = ("-m", "tests.killed_server")
    order = tmp_path / ORDER
    # The statements that name a row: write, write, next batch, write, …
    for statement in (2, 3, 4):
        order.write_text(f"{FIRST_ID // 100} {statement}")
        done = as_process(tmp_path, "--batch-size", "2", keys=keys, entry=killed)
        assert (done.code, done.out) == (-signal.SIGKILL, "")
        assert secrets() == expected(*range(6))
    order.unlink()
    done = as_process(tmp_path, "--batch-size", "2", keys=keys, entry=killed)
    assert (done.code, done.counts["Rows read"]) == (0, 6), done.err
    assert 0 < done.counts["Rows re-encrypted"] < 6
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets() == expected(*range(6))
