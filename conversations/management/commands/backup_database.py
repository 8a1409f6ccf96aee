"""`manage.py backup_database`: a shell over database_copy.py, for SQLite."""

from __future__ import annotations

import os
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import connection

from conversations.management.database_copy import database_copy
from conversations.management.operator_command import OperatorCommand, Progress, bad_arguments
from conversations.management.whole_file import written_aside


class Command(OperatorCommand):
    """Copy the database."""

    help = (
        "Copy the SQLite database to a new file, checked, while servers run. docs/backup.md says "
        "what else belongs to a backup."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where to."""
        parser.add_argument("output", metavar="FILE", type=Path, help="it must not be there yet")

    def run(self, options: dict[str, Any]) -> None:
        """Copy it, whole or not at all."""
        output, source = options["output"].absolute(), _database()
        if os.path.lexists(output):
            message = f"{output} is there already, and is not overwritten: give another name."
            raise bad_arguments(message)
        if not source.is_file():
            message = f"There is no database at {source}: is DATA_DIR right?"
            raise CommandError(message)
        _check_room(source, output.parent)
        report, size = self.report(options), source.stat().st_size
        if options["dry_run"]:
            line = f"{size:,} bytes would be copied to {output}. This was a dry run: nothing was."
            report.end(line, dry_run=True, output=str(output), bytes=size)
            return
        progress = Progress("pages")
        try:
            with written_aside(output, replaces=False) as aside:
                database_copy(source, aside, tell=progress.at)
                size = aside.stat().st_size
        except OSError as error:
            message = f"{output} cannot be written: {error}."
            raise CommandError(message) from error
        finally:
            progress.end()
        line = f"{size:,} bytes are in {output}, checked."
        report.end(line, dry_run=False, output=str(output), bytes=size)


def _database() -> Path:
    if connection.vendor != "sqlite":
        message = (
            "The database is PostgreSQL: back it up with pg_dump --format=custom "
            "(docs/backup.md has the lines). Nothing was done."
        )
        raise bad_arguments(message)
    return Path(str(connection.settings_dict["NAME"])).absolute()


def _check_room(source: Path, folder: Path) -> None:
    """Raise CommandError where the folder is not there, is closed, or has too little room."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        message = f"{folder} cannot be written to: {error}."
        raise CommandError(message) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"{folder} cannot be written to: give a folder of your own."
        raise CommandError(message)
    # The log beside the database may hold as much again that is not in it yet.
    log = source.with_name(f"{source.name}-wal")
    needed = source.stat().st_size + (log.stat().st_size if log.is_file() else 0)
    if free < needed:
        message = f"{folder} has {free:,} bytes free; the copy may take {needed:,}."
        raise CommandError(message)
