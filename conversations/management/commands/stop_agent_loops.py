"""`manage.py stop_agent_loops`: a shell over services/stopping.py."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError
from django.utils import timezone

from conversations.management.operator_command import (
    OperatorCommand,
    Progress,
    bad_arguments,
    conversation_id,
    duration,
    seconds,
)
from conversations.models import Conversation
from conversations.services.stopping import loop_ask_to_stop, loops_in_use, loops_wait

DEFAULT_WAIT = 30.0


class Command(OperatorCommand):
    """Stop agent loops."""

    help = "Stop agent loops, wait until they have ended, and say which have not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which ones, and how long to wait."""
        parser.add_argument("conversations", metavar="ID", nargs="*", type=conversation_id)
        parser.add_argument("--all", action="store_true", help="all that run or are wanted")
        parser.add_argument(
            "--idle", metavar="TIME", type=duration, help="those without an event for, say, 30m"
        )
        parser.add_argument(
            "--wait",
            metavar="SECONDS",
            type=seconds,
            default=DEFAULT_WAIT,
            help=f"until they have ended, 0 to 3600 (default {DEFAULT_WAIT:g})",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Stop, wait, tell; exit code 1 where a loop has not ended."""
        given = [bool(options["conversations"]), options["all"], options["idle"] is not None]
        if given.count(True) != 1:
            message = "say which: the ids of conversations, --idle TIME or --all (one of these)"
            raise bad_arguments(message)
        idle_since = timezone.now() - options["idle"] if options["idle"] else None
        ids = _named(options["conversations"]) or loops_in_use(idle_since=idle_since)
        if options["dry_run"]:
            self._tell_only(ids, options)
        else:
            self._stop(ids, idle_since, options)

    def _tell_only(self, ids: list[UUID], options: dict[str, Any]) -> None:
        in_use = set(loops_in_use())
        report, stopped = self.report(options), 0
        for pk in ids:
            if pk in in_use:
                stopped += 1
                report.item(f"{pk.hex}  would be stopped", conversation=pk.hex, outcome="running")
            else:
                report.item(f"{pk.hex}  rests", conversation=pk.hex, outcome="rested")
        line = f"{stopped} loops would be stopped. This was a dry run: nothing was."
        report.end(line, dry_run=True, stopped=stopped, not_stopped=0)

    def _stop(self, ids: list[UUID], idle_since: datetime | None, options: dict[str, Any]) -> None:
        asked = [pk for pk in ids if loop_ask_to_stop(pk, idle_since=idle_since)]
        progress = Progress("stopped")
        left = loops_wait(asked, seconds=options["wait"], tell=progress.at)
        progress.end()
        report, was_asked = self.report(options), set(asked)
        for pk in ids:
            outcome = _outcome(pk, was_asked, left)
            report.item(
                f"{pk.hex}  {outcome.replace('_', ' ')}", conversation=pk.hex, outcome=outcome
            )
        report.end(
            f"{len(asked) - len(left)} loops stopped.",
            dry_run=False,
            stopped=len(asked) - len(left),
            not_stopped=len(left),
        )
        if left:
            message = (
                f"Loops that have not ended after {options['wait']:g} seconds: {len(left)}, named "
                "above. The stop stays asked for: their server carries it out, or the next start."
            )
            raise CommandError(message)


def _outcome(pk: UUID, asked: set[UUID], left: set[UUID]) -> str:
    if pk in left:
        return "not_stopped"
    return "stopped" if pk in asked else "rested"


def _named(given: list[UUID]) -> list[UUID]:
    """Give each named conversation once. Raises CommandError before anything is stopped."""
    ids = list(dict.fromkeys(given))
    for pk in ids:
        if not Conversation.objects.alive().filter(pk=pk).exists():
            message = f"There is no conversation {pk.hex}: nothing was stopped."
            raise bad_arguments(message)
    return ids
