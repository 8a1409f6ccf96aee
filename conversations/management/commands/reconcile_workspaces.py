"""`manage.py reconcile_workspaces`: a shell over services/reconciling.py."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from conversations.management.operator_command import OperatorCommand, Progress, Report
from conversations.models import Conversation
from conversations.services.reconciling import missing_workspaces, stray_remove, strays
from conversations.services.workspaces import WorkspaceNotRemovedError


class Command(OperatorCommand):
    """Make disk and database agree."""

    help = (
        "Remove workspaces whose conversation is gone (never links, never other names, nothing "
        "changed in the last ten minutes), and report conversations whose workspace is missing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take leave to remove all."""
        parser.add_argument(
            "--empty-database",
            action="store_true",
            help="go on where the database holds no conversation: then every workspace is removed",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Remove and report; exit code 1 where something is missing or could not be removed."""
        dry_run, report = options["dry_run"], self.report(options)
        if not options["empty_database"]:
            _check_database()
        removed, failed = self._strays(report, dry_run=dry_run)
        missing, progress = 0, Progress("missing")
        for pk in missing_workspaces():
            missing += 1
            line = f"{pk.hex}  has run commands, but its workspace is missing"
            report.item(line, conversation=pk.hex, outcome="missing")
            progress.at(missing)
        progress.end()
        line = f"{removed} workspaces {'would be ' if dry_run else ''}removed, {missing} missing."
        if dry_run:
            line += " This was a dry run: nothing was removed."
        report.end(line, dry_run=dry_run, removed=removed, failed=failed, missing=missing)
        if missing or failed:
            message = (
                f"Workspaces missing: {missing}, not removed: {failed}, each named above. Restore "
                "what is missing from a backup: an agent that goes on finds an empty folder."
            )
            raise CommandError(message)

    @staticmethod
    def _strays(report: Report, *, dry_run: bool) -> tuple[int, int]:
        progress, removed, failed = Progress("removed"), 0, 0
        for stray in strays():
            name, outcome = stray.path.name, "would_be_removed" if dry_run else "removed"
            try:
                if not dry_run:
                    stray_remove(stray)
                removed += 1
            except WorkspaceNotRemovedError as error:
                failed += 1
                outcome = f"not removed: {error}"
            pk = name[:32]
            report.item(f"{pk}  {outcome.replace('_', ' ')}", conversation=pk, outcome=outcome)
            progress.at(removed)
        progress.end()
        return removed, failed


def _check_database() -> None:
    if not Conversation.objects.exists() and next(strays(), None) is not None:
        message = (
            "The database holds no conversation, so every workspace would be removed: is "
            "DATABASE_URL right? If it is, give --empty-database. Nothing was removed."
        )
        raise CommandError(message)
