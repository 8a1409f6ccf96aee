"""`manage.py show_settings`: what this process works with. Secrets come here masked already."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.conf import settings

from conversations.management.operator_command import OperatorCommand


class Command(OperatorCommand):
    """Show the settings."""

    help = "Show the effective settings, secrets masked, and where each comes from."
    changes = False

    def run(self, options: dict[str, Any]) -> None:
        """Show them."""
        report = self.report(options)
        for shown in settings.SETTINGS_SHOWN:
            value = "-" if shown.value in ("", None) else shown.value
            source = f"{shown.source} {shown.file}".strip()
            report.item(f"{shown.name:<30} {value}  ({source})", **asdict(shown))
        number = len(settings.SETTINGS_SHOWN)
        report.end(f"{number} settings; docs/operations.md says what each does.", settings=number)
