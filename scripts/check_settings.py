"""Check migrations and settings the way production would, in an environment of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile

COMMANDS = (
    ["makemigrations", "--check", "--dry-run"],
    ["check", "--deploy", "--fail-level", "WARNING"],
)


def main() -> int:
    """Run each check in an environment of its own; give the worst exit code."""
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            done = subprocess.run(  # noqa: S603  # our own command line
                [sys.executable, "manage.py", *command],
                env={"DATA_DIR": folder, "AUTH_MODE": "accounts", "ALLOWED_HOSTS": "example.org"},
                check=False,
            )
            worst = max(worst, abs(done.returncode))
    return worst


if __name__ == "__main__":
    sys.exit(main())
