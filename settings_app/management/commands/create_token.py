"""`manage.py create_token`: a token for a user's scripts. It is shown once and stored as a hash."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from knox.models import AuthToken

from settings_app.models import User

MAX_DAYS = 3650


class Command(BaseCommand):
    """Make a token."""

    help = "Make a token for a user's scripts: they send `Authorization: Token …`. Shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose it is, and for how long."""
        parser.add_argument("username")
        parser.add_argument("--days", type=int, default=365, help="until it expires (default 365)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it and print it, alone on its line."""
        username, days = options["username"], options["days"]
        if not 1 <= days <= MAX_DAYS:
            message = f"--days={days}: it must be from 1 to {MAX_DAYS}."
            raise CommandError(message)
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            message = f"There is no active user {username!r}; manage.py createsuperuser makes one."
            raise CommandError(message)
        _, token = AuthToken.objects.create(user=user, expiry=timedelta(days=days))
        self.stdout.write(token)
