"""Check migrations and settings the way production would, in an environment of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    ["makemigrations", "--check", "--dry-run"],
    ["check", "--deploy", "--fail-level", "WARNING"],
)


def _manage(folder: str, *arguments: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", *arguments],
        env={"DATA_DIR": folder, "AUTH_MODE": "accounts", "ALLOWED_HOSTS": "example.org"},
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )


def _undocumented(folder: str) -> list[str]:
    """Give the settings that docs/operations.md does not list."""
    shown = json.loads(_manage(folder, "show_settings", "--json", quiet=True).stdout)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("## Commands")[0]
    return [item["name"] for item in shown["items"] if f"`{item['name']}`" not in table]


def main() -> int:
    """Run each check in an environment of its own; give the worst exit code."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            worst = max(worst, abs(_manage(folder, *command).returncode))
        for name in _undocumented(folder):
            sys.stderr.write(f"{name} is missing from the table in docs/operations.md.\n")
            worst = 1
    return worst


if __name__ == "__main__":
    sys.exit(main())
