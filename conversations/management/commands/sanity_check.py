"""`manage.py sanity_check`: a shell over services/sanity.py. It reads only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from conversations.management.operator_command import (
    OperatorCommand,
    Progress,
    bad_arguments,
    conversation_id,
)
from conversations.models import Conversation
from conversations.services.sanity import conversations_check


class Command(OperatorCommand):
    """Check that what is stored is sound."""

    help = "Check the invariants of the stored conversations, beside a running server."
    changes = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which ones."""
        parser.add_argument(
            "conversations", metavar="ID", nargs="*", type=conversation_id, help="default: all"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Check; tell each finding in one line, with what to do."""
        ids = list(dict.fromkeys(options["conversations"])) or None
        for pk in ids or ():
            if not Conversation.objects.filter(pk=pk).exists():
                message = f"There is no conversation {pk.hex}."
                raise bad_arguments(message)
        report, progress = self.report(options), Progress("checked")
        checked = found = 0
        for pk, findings in conversations_check(ids):
            checked += 1
            found += len(findings)
            if findings:
                progress.end()
            for finding in findings:
                where = "" if finding.event_id is None else f", event {finding.event_id}"
                report.item(
                    f"conversation {pk.hex}{where}: {finding.what}. {finding.advice}".strip(),
                    conversation=pk.hex,
                    event_id=finding.event_id,
                    kind=finding.kind,
                    what=finding.what,
                    advice=finding.advice,
                )
            progress.at(checked)
        progress.end()
        line = f"{checked} conversations checked: {found or 'nothing'} found."
        report.end(line, checked=checked, found=found)
        if found:
            message = f"Findings: {found}, each named above with what to do."
            raise CommandError(message)
