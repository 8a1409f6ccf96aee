"""`manage.py rotate_secrets`: a shell over settings_app/rotation.py. It reads no secret itself."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from settings_app.rotation import Rotation, UnreadableSecret, secrets_rotate

DEFAULT_BATCH_SIZE = 500
#: How many unreadable secrets the JSON lists; all are counted, and told on stderr.
LISTED = 100


class Command(BaseCommand):
    """Re-encrypt every stored secret with the first key."""

    help = (
        "Re-encrypt every stored secret with the first key of FIELD_ENCRYPTION_KEYS, beside a "
        "running server. What that key reads already is left alone, so it may be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how to go about it."""
        parser.add_argument(
            "--batch-size",
            metavar="N",
            default=DEFAULT_BATCH_SIZE,
            help=f"rows to hold in memory at a time, 1 to 9999 (default {DEFAULT_BATCH_SIZE})",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done only")
        parser.add_argument("--json", action="store_true", help="report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and report; exit code 1 unless the first key reads every secret, or would."""
        batch_size, dry_run = self._batch_size(options["batch_size"]), options["dry_run"]
        listed: list[dict[str, Any]] = []

        def tell(secret: UnreadableSecret) -> None:
            self.stderr.write(secret.message)
            if len(listed) < LISTED:
                listed.append({"user_id": secret.user_id, "column": secret.column})

        try:
            rotation = secrets_rotate(batch_size=batch_size, dry_run=dry_run, unreadable_tell=tell)
        except DatabaseError as error:
            # Its first line only: PostgreSQL goes on with the statement, and with what is in it.
            why = str(error).partition("\n")[0]
            message = (
                f"The database does not answer: {why}. Run the command again: it does the rest."
            )
            raise CommandError(message) from error
        if options["json"]:
            report = {"dry_run": dry_run, **asdict(rotation), "unreadable_secrets": listed}
            self.stdout.write(json.dumps(report))
        else:
            self._tell_people(rotation, dry_run=dry_run)
        self._refuse_success(rotation)

    @staticmethod
    def _batch_size(given: object) -> int:
        # Not argparse's `type`: that one answers with the usage, over several lines.
        if not re.fullmatch(r"0*[1-9]\d{0,3}", str(given), flags=re.ASCII):
            message = f"--batch-size={str(given)!r}: it must be a whole number from 1 to 9999."
            raise CommandError(message)
        return int(str(given))

    def _tell_people(self, rotation: Rotation, *, dry_run: bool) -> None:
        for label, number in (
            ("Rows read", rotation.read),
            ("Rows to re-encrypt" if dry_run else "Rows re-encrypted", rotation.reencrypted),
            ("Rows already current", rotation.current),
            ("Rows overtaken by a save", rotation.overtaken),
            ("Unreadable secrets", rotation.unreadable),
        ):
            self.stdout.write(f"{label + ':':<26}{number}")
        if dry_run:
            self.stdout.write("This was a dry run: nothing was written.")
        elif not rotation.unreadable and not rotation.unsettled:
            self.stdout.write(
                "The first key of FIELD_ENCRYPTION_KEYS reads every stored secret. Once every "
                "server has been started with it, the keys behind it may be taken out."
            )

    @staticmethod
    def _refuse_success(rotation: Rotation) -> None:
        """Raise CommandError where a key behind the first one is still needed, or was lost."""
        problems = []
        if rotation.unreadable:
            problems.append(
                f"Secrets that no key in FIELD_ENCRYPTION_KEYS reads: {rotation.unreadable}, named "
                "above and left as they are. Put the key that wrote them back into that setting "
                "and run the command again, or have their users save them anew."
            )
        if rotation.unsettled:
            problems.append(
                f"Rows saved again at each try: {rotation.unsettled}. Start every server with the "
                "new FIELD_ENCRYPTION_KEYS, then run the command again."
            )
        if problems:
            raise CommandError(" ".join(problems))
