"""`manage.py rotate_secrets`: a shell over settings_app/rotation.py. It reads no secret itself."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from conversations.management.operator_command import OperatorCommand, whole_number
from settings_app.rotation import Rotation, UnreadableSecret, secrets_rotate

DEFAULT_BATCH_SIZE, MOST_BATCH_SIZE = 500, 9999
#: How many unreadable secrets the JSON lists; all are counted, and told on stderr.
LISTED = 100


class Command(OperatorCommand):
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
            type=whole_number(MOST_BATCH_SIZE),
            default=DEFAULT_BATCH_SIZE,
            help="rows to hold in memory at a time, 1 to "
            f"{MOST_BATCH_SIZE} (default {DEFAULT_BATCH_SIZE})",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Do it and report; exit code 1 unless the first key reads every secret, or would."""
        batch_size, dry_run = options["batch_size"], options["dry_run"]
        listed: list[dict[str, Any]] = []

        def tell(secret: UnreadableSecret) -> None:
            self.stderr.write(secret.message)
            if len(listed) < LISTED:
                listed.append({"user_id": secret.user_id, "column": secret.column})

        rotation = secrets_rotate(batch_size=batch_size, dry_run=dry_run, unreadable_tell=tell)
        if options["json"]:
            report = {"dry_run": dry_run, **asdict(rotation), "unreadable_secrets": listed}
            self.stdout.write(json.dumps(report))
        else:
            self._tell_people(rotation, dry_run=dry_run)
        self._refuse_success(rotation)

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
