"""`manage.py set_console_role`: who may see the console, and who may act in it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from conversations.management.operator_command import OperatorCommand, bad_arguments
from settings_app.roles import OPERATOR, VIEWER, UnknownPersonError, role_set

NONE = "none"


class Command(OperatorCommand):
    """Give or take a role."""

    help = "Let a user into the console (/admin/): viewer sees all, operator acts too; none: out."
    changes = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose, and which."""
        parser.add_argument("username")
        parser.add_argument("role", choices=[VIEWER, OPERATOR, NONE])

    def run(self, options: dict[str, Any]) -> None:
        """Set it."""
        username, role = options["username"], options["role"]
        try:
            role_set(username=username, role="" if role == NONE else role)
        except UnknownPersonError as error:
            message = f"There is no user {username!r}; manage.py createsuperuser makes one."
            raise bad_arguments(message) from error
        self.report(options).end(f"{username}: {role}", username=username, role=role)
