"""`rotate_secrets` run in this process and as one of its own, and what the database then holds."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from settings_app.models import UserSettings
from tests.databases import ROOT, shared_database_environment

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
#: Far from any other number in a statement, so that the killer knows a row's statements.
FIRST_ID = 98_765_400
TABLE = "settings_app_usersettings"
_COUNT = re.compile(r"^(.+): +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def counts(self) -> dict[str, int]:
        """What the report for people says, by label."""
        return {label: int(number) for label, number in _COUNT.findall(self.out)}


def in_process(*arguments: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("rotate_secrets", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(f"CommandError: {error}\n")
    return _checked(Done(code, out.getvalue(), err.getvalue()))


def as_process(
    data_dir: Path,
    *arguments: str,
    keys: str,
    database: dict[str, str] | None = None,
    entry: tuple[str, ...] = ("manage.py",),
) -> Done:
    """Run the real command line, on the test's own database where none is named."""
    data_dir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, *entry, "rotate_secrets", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.defpath,
            "DATA_DIR": str(data_dir),
            "FIELD_ENCRYPTION_KEYS": keys,
            **(shared_database_environment() if database is None else database),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return _checked(Done(done.returncode, done.stdout, done.stderr))


def _checked(done: Done) -> Done:
    """No secret, no ciphertext, no key of the ring and no traceback in what was said."""
    said = done.out + done.err
    for word in ("sk-", "ghp_", "gAAAA", OLD, NEW, LOST, "Traceback"):
        assert word not in said
    return done


def raw_of(user_id: int) -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT llm_api_key, provider_tokens FROM {TABLE} WHERE user_id = %s",  # noqa: S608
            [user_id],
        )
        key, tokens = cursor.fetchone()
    return key, tokens


def secrets() -> dict[int, tuple[str, dict[str, str]]]:
    return {
        row.pk: (row.llm_api_key, row.provider_tokens)
        for row in UserSettings.objects.with_secrets()
    }


def expected(*numbers: int) -> dict[int, tuple[str, dict[str, str]]]:
    return {FIRST_ID + n: (f"sk-{n}", {"github": f"ghp_{n}"}) for n in numbers}
