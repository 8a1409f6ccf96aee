"""`manage.py create_token`: a token for a user's scripts. It is shown once and stored as a hash."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from knox.models import AuthToken

from conversations.management.operator_command import (
    OperatorCommand,
    bad_arguments,
    whole_number,
)
from settings_app.models import User

MAX_DAYS: Final = 3650


class Command(OperatorCommand):
    """Make a token."""

    help = "Make a token for a user's scripts: they send `Authorization: Token …`. Shown once."
    changes = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose it is, and for how long."""
        parser.add_argument("username")
        parser.add_argument(
            "--days",
            metavar="N",
            type=whole_number(MAX_DAYS),
            default=365,
            help=f"until it expires, 1 to {MAX_DAYS} (default 365)",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Make it and print it, alone on its line."""
        username = options["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            message = f"There is no active user {username!r}; manage.py createsuperuser makes one."
            raise bad_arguments(message)
        _, token = AuthToken.objects.create(user=user, expiry=timedelta(days=options["days"]))
        self.report(options).end(token, token=token)
