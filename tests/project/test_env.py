"""What the environment may say, and what it is told when it says something else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from project import env
from project.kept_secrets import secret_keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Read(Protocol):
    def __call__(self, **variables: str) -> env.Deployment: ...


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    """Read an environment of the given variables and a folder of its own."""
    before = env.environment_replace({})

    def read_these(**variables: str) -> env.Deployment:
        env.environment_replace({"DATA_DIR": str(tmp_path / "data"), **variables})
        return env.deployment_read()

    yield read_these
    env.environment_replace(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_empty_environment_gives_the_documented_defaults(read: Read, tmp_path: Path) -> None:
    deployment = read()
    assert deployment.data_dir == tmp_path / "data"
    assert deployment.database is None
    assert deployment.auth_mode == "local"
    assert deployment.allowed_hosts == ("localhost", "127.0.0.1", "[::1]", ".localhost")
    assert deployment.conversation_max_age_seconds == 864_000
    assert deployment.retention_days is None
    assert deployment.max_concurrent_conversations == 3
    assert (deployment.executor, deployment.runtime) == ("in_process", "local")
    assert (deployment.sandbox_timeout, deployment.sandbox_close_delay) == (120, 900)
    assert deployment.sandbox_network is False
    assert (deployment.lease_seconds, deployment.max_iterations) == (6, 500)
    assert deployment.max_turn_seconds == 14_400
    assert deployment.max_budget_per_task is None
    assert (deployment.llm_api_key, deployment.llm_base_url) == ("", "")
    assert deployment.request_throttle is None
    assert deployment.web_client_dir is None
    assert deployment.log_format == "console"


def test_given_values_are_read(read: Read, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    deployment = read(
        SANDBOX_NETWORK="ON",
        LEASE_SECONDS="2.5",
        RETENTION_DAYS="90",
        MAX_TURN_SECONDS="off",
        MAX_BUDGET_PER_TASK="4",
        REQUEST_THROTTLE="10/second",
        WEB_CLIENT_DIR=str(tmp_path),
        LLM_API_KEY="$not-a-reference",
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="agents.example.com, .example.org",
    )
    assert deployment.sandbox_network is True
    assert deployment.lease_seconds == 2.5
    assert deployment.retention_days == 90
    assert deployment.max_turn_seconds is None
    assert deployment.max_budget_per_task == 4
    assert deployment.request_throttle == "10/second"
    assert deployment.web_client_dir == tmp_path
    assert deployment.llm_api_key == "$not-a-reference"
    assert deployment.allowed_hosts == ("agents.example.com", ".example.org")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_MODE", "open"),
        ("ALLOWED_HOSTS", "agents.example.com"),
        *(("TRUSTED_PROXIES", it) for it in ("*", "proxy", "10.0.0.1/8", "0.0.0.0/0", "::/0")),
        ("EXECUTOR", "celery"),
        ("EXECUTOR", "procrastinate"),
        ("RUNTIME", "docker"),
        ("CONVERSATION_MAX_AGE_SECONDS", "ten days"),
        ("MAX_CONCURRENT_CONVERSATIONS", "0"),
        ("MAX_ITERATIONS", "-1"),
        ("MAX_ITERATIONS", "1.5"),
        ("MAX_TURN_SECONDS", "0"),
        ("SANDBOX_TIMEOUT", "0"),
        ("SANDBOX_CLOSE_DELAY", "nan"),
        ("SANDBOX_NETWORK", "maybe"),
        ("LEASE_SECONDS", "0.1"),
        ("LEASE_SECONDS", "61"),
        ("DATABASE_CONNECT_TIMEOUT", "0"),
        ("DATABASE_LOCK_TIMEOUT", "0"),
        ("WEB_THREADS", "none"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "never"),
        ("RETENTION_DAYS", "36501"),
        ("WEB_THREADS", "15"),
        ("WEB_THREADS", "257"),
        ("WORKER_GRACE_SECONDS", "soon"),
        ("MAX_BUDGET_PER_TASK", "$5"),
        ("REQUEST_THROTTLE", "many"),
        ("REQUEST_THROTTLE", "0/second"),
        ("WEB_CLIENT_DIR", "/nowhere"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY_FILE", "/nowhere"),
    ],
)
def test_wrong_value_is_refused_with_its_name_and_itself(read: Read, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(**{name: value})
    assert f"{name}={value!r}" in str(refused.value)


def test_accounts_mode_needs_its_hosts(read: Read) -> None:
    with pytest.raises(ImproperlyConfigured, match="ALLOWED_HOSTS"):
        read(AUTH_MODE="accounts")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FIELD_ENCRYPTION_KEYS", "my-secret-word"),
        ("METRICS_TOKEN", "my-secret-word of two lines\nX: y"),
        ("DATABASE_URL", "mysql://root:my-secret-word@127.0.0.1/x"),
        ("DATABASE_URL", "postgresql://root:my-secret-word@127.0.0.1/"),
        ("DATABASE_URL", "postgresql://root:my-secret-word@[::1/x"),
    ],
)
def test_refused_secret_is_named_but_not_shown(read: Read, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(**{name: value})
    assert name in str(refused.value)
    assert "my-secret-word" not in str(refused.value)


def test_database_url_is_understood(read: Read) -> None:
    database = read(DATABASE_URL="postgresql://me:p%40ss@db.example:5433/handrail").database
    assert database is not None
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["USER"], database["PASSWORD"]) == ("me", "p@ss")
    assert (database["HOST"], database["PORT"], database["NAME"]) == (
        "db.example",
        5433,
        "handrail",
    )


def test_secrets_are_made_once_and_kept_for_the_owner_alone(read: Read, tmp_path: Path) -> None:
    first, second = read(), read()
    assert first.secret_key == second.secret_key
    assert first.field_encryption_keys == second.field_encryption_keys
    assert len(first.secret_key) >= 50
    data_dir = tmp_path / "data"
    assert _mode(data_dir) == 0o700
    names = {path.name: _mode(path) for path in data_dir.iterdir()}
    assert names == {"secret_key": 0o600, "field_encryption_keys": 0o600}


def test_given_secrets_leave_nothing_in_the_data_dir(read: Read, tmp_path: Path) -> None:
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    (tmp_path / "keys").write_text("\n".join(keys) + "\n")
    deployment = read(SECRET_KEY="x" * 50, FIELD_ENCRYPTION_KEYS_FILE=str(tmp_path / "keys"))
    assert deployment.secret_key == "x" * 50
    assert deployment.field_encryption_keys == tuple(keys)
    assert not (tmp_path / "data").exists()


def test_secret_given_twice_or_in_an_empty_file_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ImproperlyConfigured, match="both set"):
        read(SECRET_KEY="x" * 50, SECRET_KEY_FILE=str(tmp_path / "empty"))
    with pytest.raises(ImproperlyConfigured, match="the file is empty"):
        read(SECRET_KEY_FILE=str(tmp_path / "empty"))


def test_emptied_key_file_is_refused_and_not_replaced(read: Read, tmp_path: Path) -> None:
    read()
    kept = tmp_path / "data" / "field_encryption_keys"
    kept.write_text("")
    with pytest.raises(ImproperlyConfigured, match="is empty"):
        read()
    assert kept.read_text() == ""


def test_data_dir_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="DATA_DIR"):
        secret_keep(tmp_path / "file" / "secret_key", make=lambda: "x")


_KEEP = """
import secrets, sys
from pathlib import Path
from project.kept_secrets import secret_keep
print("ready", flush=True)
sys.stdin.readline()
print(secret_keep(Path(sys.argv[1]), make=secrets.token_hex))
"""


def test_processes_that_start_at_once_end_with_the_same_secret(tmp_path: Path) -> None:
    kept = tmp_path / "data" / "secret_key"
    processes = [
        subprocess.Popen(  # noqa: S603  # this interpreter, and text from above
            [sys.executable, "-c", _KEEP, str(kept)],
            cwd=env.BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = {process.communicate(timeout=30)[0] for process in processes}
    assert found == {f"{kept.read_text()}"}
    assert [path.name for path in kept.parent.iterdir()] == ["secret_key"]


def test_a_command_starts_on_an_empty_folder_and_keeps_its_database_there(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "manage.py", "check", "--database", "default"],
        cwd=env.BASE_DIR,
        env={"DATA_DIR": str(tmp_path / "data"), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {
        "secret_key",
        "field_encryption_keys",
    }


def test_a_wrong_setting_stops_a_command_with_one_clear_line(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=env.BASE_DIR,
        env={"DATA_DIR": str(tmp_path / "data"), "PATH": os.defpath, "LEASE_SECONDS": "soon"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode != 0
    assert "LEASE_SECONDS='soon'" in finished.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("value", "rate"), [("", "50/s"), ("off", None), ("5/min", "5/min")])
def test_accounts_mode_limits_requests_unless_told_otherwise(
    read: Read, value: str, rate: str | None
) -> None:
    deployment = read(AUTH_MODE="accounts", ALLOWED_HOSTS="a.example", REQUEST_THROTTLE=value)
    assert deployment.request_throttle == rate


def test_users_may_be_allowed_inner_addresses(read: Read) -> None:
    deployment = read(LLM_BASE_URL_ALLOW="llm.internal:4000, 10.0.0.0/8 127.0.0.1,[::1]:80")
    assert len(deployment.llm_base_url_allow) == 4
    assert read().llm_base_url_allow == ()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("http://llm.internal", "not a URL"),
        ("10.0.0.1/8", "no network"),
        ("llm.internal:0", "port"),
        ("llm.internal:", "port"),
        ("[::1]x", "port"),
        ("*.internal", "no host name"),
        ("-a", "no host name"),
    ],
)
def test_a_bad_entry_of_the_allowed_addresses_is_refused(read: Read, entry: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as raised:
        read(LLM_BASE_URL_ALLOW=f"127.0.0.1,{entry}")
    assert f"LLM_BASE_URL_ALLOW={entry!r}" in str(raised.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "all_proxy"])
def test_a_proxy_is_noticed(read: Read, name: str) -> None:
    assert read(**{name: "http://10.0.0.1:3128"}).proxied
    assert not read().proxied
