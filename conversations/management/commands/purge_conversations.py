"""`manage.py purge_conversations`: a shell over services/purging.py and services/cleanup.py."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from conversations.events.states import AgentState
from conversations.management.operator_command import (
    OperatorCommand,
    Progress,
    Report,
    bad_arguments,
    duration,
)
from conversations.services.cleanup import tombstone_clear, tombstones
from conversations.services.presence import is_swept, presence_check
from conversations.services.purging import Old, Purge, batch_delete, old_conversations
from settings_app.models import User


@dataclass(slots=True)
class _Cleared:
    removed: int = 0
    failed: int = 0


class Command(OperatorCommand):
    """Delete old conversations."""

    help = (
        "Delete conversations that nothing was added to for a while, with their workspaces. What "
        "runs, or is wanted, is left alone. A server beside it removes what was deleted; without "
        "one the command does."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which ones."""
        parser.add_argument(
            "--older-than", metavar="TIME", type=duration, required=True, help="such as 30d or 12h"
        )
        parser.add_argument("--owner", metavar="NAME", help="of this user only")
        parser.add_argument(
            "--state", choices=[state.value for state in AgentState], help="in this state only"
        )
        parser.add_argument(
            "--running", action="store_true", help="also those that run or are wanted: stop them"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Delete, then clear away where nobody else does; exit code 1 where something is left."""
        presence_check()
        purge = Purge(
            before=timezone.now() - options["older_than"],
            owner_id=_owner_id(options["owner"]),
            state=options["state"] or "",
            even_running=options["running"],
        )
        dry_run = options["dry_run"]
        report = self.report(options, lists=dry_run)
        deleted = _delete(purge, report, dry_run=dry_run)
        if dry_run:
            line = f"{deleted} conversations would be deleted. This was a dry run: nothing was."
            report.end(line, dry_run=True, deleted=deleted, removed=0, failed=0)
            return
        if is_swept():
            line = f"{deleted} conversations deleted; the running server removes what is theirs."
            report.end(line, dry_run=False, deleted=deleted, removed=0, failed=0)
            return
        cleared = _clear()
        report.end(
            f"{deleted} conversations deleted; rows and workspaces of {cleared.removed} removed.",
            dry_run=False,
            deleted=deleted,
            removed=cleared.removed,
            failed=cleared.failed,
        )
        if cleared.failed:
            message = (
                f"Workspaces that could not be removed: {cleared.failed}, named in the log above. "
                "They are out of everybody's sight; run the command again for the rest."
            )
            raise CommandError(message)


def _owner_id(name: str | None) -> int | None:
    if name is None:
        return None
    owner_id = User.objects.filter(username=name).values_list("pk", flat=True).first()
    if owner_id is None:
        message = f"--owner {name}: there is no such user"
        raise bad_arguments(message)
    return owner_id


def _delete(purge: Purge, report: Report, *, dry_run: bool) -> int:
    progress, deleted = Progress("deleted"), 0
    for batch in old_conversations(purge):
        done = batch if dry_run else batch_delete(purge, batch)
        for old in done:
            _tell(report, old)
        deleted += len(done)
        progress.at(deleted)
    progress.end()
    return deleted


def _tell(report: Report, old: Old) -> None:
    at = old.last_updated_at.isoformat(timespec="seconds")
    report.item(
        f"{old.conversation_id.hex}  {old.owner}  {old.state}  last updated {at}",
        conversation=old.conversation_id.hex,
        owner=old.owner,
        state=old.state,
        last_updated_at=old.last_updated_at.isoformat(),
    )


def _clear() -> _Cleared:
    """Clear away every tombstone: also those of a run that was killed."""
    progress, cleared = Progress("removed"), _Cleared()
    for conversation_id in tombstones():
        if tombstone_clear(conversation_id):
            cleared.removed += 1
        else:
            cleared.failed += 1
        progress.at(cleared.removed)
    progress.end()
    return cleared
