"""Check migrations and settings as in production, and that docs/operations.md is complete."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
#: A deployment as docs/deploying.md advises.
PRODUCTION = {
    "AUTH_MODE": "accounts",
    "ALLOWED_HOSTS": "example.org",
    "TRUSTED_PROXIES": "127.0.0.1",
    "SECRET_KEY": secrets.token_hex(32),
    "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "METRICS_TOKEN": secrets.token_hex(32),
}
#: Where ids of system checks are given.
CHECKED_IN = ("settings_app/checks.py", "conversations/checks.py", "project/command_line.py")
COMMANDS = (
    ["makemigrations", "--check", "--dry-run"],
    ["check", "--deploy", "--fail-level", "WARNING"],
)


def _manage(folder: str, *arguments: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", *arguments],
        env={"DATA_DIR": folder, **PRODUCTION},
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )


def _missing(names: Iterable[str], heading: str) -> list[str]:
    """Give the names that stand in no code below a heading of docs/operations.md."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [name for name in names if not re.search(rf"`(manage\.py )?{name}\b", part)]


def _undocumented(folder: str) -> list[str]:
    """Give the settings, checks, commands and states that docs/operations.md does not list."""
    shown = json.loads(_manage(folder, "show_settings", "--json", quiet=True).stdout)
    code = "".join((ROOT / file).read_text(encoding="utf-8") for file in CHECKED_IN)
    commands = [path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")]
    states = (ROOT / "conversations" / "events" / "states.py").read_text(encoding="utf-8")
    return [
        *_missing((item["name"] for item in shown["items"]), "Settings"),
        *_missing(sorted(set(re.findall(r"handrail\.([EW]\d{3})", code))), "Settings"),
        *_missing(commands, "Commands"),
        *_missing(
            re.findall(r'^    [A-Z_]+ = "(\w+)"$', states, re.MULTILINE), "States, and what to do"
        ),
    ]


def main() -> int:
    """Run each check in an environment of its own; give the worst exit code."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            worst = max(worst, abs(_manage(folder, *command).returncode))
        for name in _undocumented(folder):
            sys.stderr.write(f"{name} is missing from the tables in docs/operations.md.\n")
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
