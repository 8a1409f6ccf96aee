"""Django's system checks of a deployment: what each finds, and what it costs whoever starts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError

from conversations.management.readiness import settings_check
from settings_app.checks import places_check
from tests.commands.operating import Done, start

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

#: 32 bytes that somebody has thought of.
WORDS = base64.urlsafe_b64encode(b"correct horse battery staple 123").decode()
TOKEN = "secret-to-guess"


def ids(done: Done) -> set[str]:
    return {part[:4] for part in done.err.split("(handrail.")[1:]}


def test_all_that_is_wrong_is_told_at_once_with_what_to_do(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o644)
    done = start(
        tmp_path / "data",
        "check",
        database={},
        # No bubblewrap there.
        PATH=str(tmp_path),
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="handrail.example,*",
        SECRET_KEY="ChangeMe-0123456789-abcdefghijklmnop",
        FIELD_ENCRYPTION_KEYS=WORDS,
        METRICS_TOKEN_FILE=str(token),
        SANDBOX_NETWORK="on",
        LEASE_SECONDS="1",
        MAX_BUDGET_PER_TASK="0",
        LLM_BASE_URL_ALLOW="10.0.0.0/8 0.0.0.0/0 ::/0",
    )
    assert done.code == 1
    errors = {"E002", "E003", "E005", "E006"}
    assert ids(done) == errors | {"W001", "W002", "W004", "W005", "W006", "W007"}
    assert done.err.count("HINT: ") == done.err.count("(handrail.") == 11
    assert "10.0.0.0/8" not in done.err
    assert f"chmod 600 {token}" in done.err
    for secret in ("ChangeMe-0123456789", WORDS, TOKEN):
        assert secret not in done.err + done.out


def test_keys_of_one_host_are_told_before_there_are_several(tmp_path: Path) -> None:
    done = start(
        tmp_path / "data",
        *("check", "--deploy", "--fail-level", "WARNING"),
        database={"DATABASE_URL": "postgresql://handrail@127.0.0.1:1/handrail"},
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="handrail.example",
        TRUSTED_PROXIES="127.0.0.1",
    )
    assert (done.code, ids(done)) == (1, {"W008"})
    assert done.err.count("_FILE.") == 2


@pytest.mark.parametrize(
    ("proxies", "code", "found"), [("", 1, {"W009"}), ("10.0.0.1", 0, set())], ids=str
)
def test_an_unnamed_proxy_is_told_where_the_public_comes(
    tmp_path: Path, proxies: str, code: int, found: set[str]
) -> None:
    for arguments, expected in ((("check", "--deploy"), (code, found)), (("check",), (0, set()))):
        done = start(
            tmp_path / "data",
            *(*arguments, "--fail-level", "WARNING"),
            database={},
            AUTH_MODE="accounts",
            ALLOWED_HOSTS="handrail.example",
            TRUSTED_PROXIES=proxies,
        )
        assert (done.code, ids(done)) == expected, done.err


def test_what_cannot_be_read_has_an_id_too(tmp_path: Path) -> None:
    done = start(tmp_path / "data", "check", database={}, EXECUTOR="procrastinate")
    assert (done.code, ids(done)) == (1, {"E001"})
    assert len(done.err.splitlines()) == 1
    assert "EXECUTOR='procrastinate': it needs PostgreSQL" in done.err


def table(*mounts: tuple[str, str]) -> str:
    """Give the kernel's table of mounts: each a folder and a type."""
    return "".join(f"device {folder} {kind} rw,relatime 0 0\n" for folder, kind in mounts)


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ([("/", "ext4")], []),
        ([("/", "ext4"), ("/srv", "nfs4")], ["E004", "W003"]),
        ([("/", "ext4"), ("/srv/a\\040b", "fuse.sshfs")], ["E004", "W003"]),
        ([("/", "9p"), ("/srv", "xfs")], []),
        ([("/", "cifs")], ["E004", "W003"]),
        # A folder of another name, a disk above the share, one that hides it, and a broken line.
        ([("/", "ext4"), ("/srv/a", "nfs")], []),
        ([("/srv", "nfs"), ("/srv/a\\040b/data", "btrfs")], []),
        ([("/srv", "nfs"), ("/srv", "ext4")], []),
        ([("/srv", "fuse.portal"), ("/", "smb3")], []),
        ([], []),
    ],
)
def test_a_database_on_a_network_file_system_is_seen(
    mounts: list[tuple[str, str]], found: list[str]
) -> None:
    said, data_dir = table(*mounts) + "\nbroken\n", Path("/srv/a b/data")
    told = places_check(said, data_dir=data_dir, sqlite=data_dir / "handrail.sqlite3")
    assert [message.id for message in told] == [f"handrail.{number}" for number in found]
    told = places_check(said, data_dir=data_dir, sqlite=None)
    assert [message.id for message in told] == ["handrail.W003"] * bool(found)


def test_a_start_gives_each_warning_a_line_and_ends_at_an_error(settings: Settings) -> None:
    assert settings_check() == []
    settings.LEASE_SECONDS = 1
    (line,) = settings_check()
    assert line.startswith("handrail.W004: LEASE_SECONDS=1: ")
    assert "\n" not in line
    with pytest.raises(CommandError, match=r"^handrail.W004: [^\n]*$"):
        settings_check(fatal={"handrail.W004"})
    settings.SECRET_KEY = "x" * 50
    settings.SANDBOX_NETWORK = True
    with pytest.raises(CommandError, match=r"^handrail.E00[^\n]* \(And 1 more: [^\n]*\)$"):
        settings_check()
