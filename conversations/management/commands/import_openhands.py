"""`manage.py import_openhands PATH`: who gets what, and a shell over management/store_import.py."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import tzinfo
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from conversations.exceptions import DamagedStoreError
from conversations.management.import_report import Report
from conversations.management.store_import import StoreImport
from conversations.openhands_store.files import Folder, opened_store
from conversations.openhands_store.layout import Place, is_store, places
from settings_app.exceptions import SecretUnreadableError
from settings_app.models import User
from settings_app.services import LOCAL_USERNAME, local_user_get

BAD_ARGUMENTS = 2


class Command(BaseCommand):
    """Take over the file store of an original OpenHands server."""

    help = (
        "Take over conversations and settings from the file store of an original OpenHands server "
        "(v0.32), beside a running server. What is there already is left alone, so it may be "
        "killed and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to read, and for whom."""
        parser.add_argument("path", help="the store's folder, with settings.json and sessions/")
        parser.add_argument(
            "--owner", metavar="NAME", help="in accounts mode: the user who gets what is in it"
        )
        parser.add_argument(
            "--map",
            metavar="USER_ID=NAME",
            action="append",
            default=[],
            help="in accounts mode: the user who gets what lies below users/USER_ID; repeatable",
        )
        parser.add_argument(
            "--timezone",
            metavar="ZONE",
            default="UTC",
            help="the original server's, such as Europe/Berlin, for events' times (default UTC)",
        )
        parser.add_argument(
            "--overwrite-settings", action="store_true", help="also where the owner has settings"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done only")
        parser.add_argument("--json", action="store_true", help="report as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and report; exit code 1 where something was skipped, 2 for bad arguments."""
        report = Report(
            out=self.stdout,
            err=self.stderr,
            as_json=options["json"],
            dry_run=options["dry_run"],
        )
        try:
            with opened_store(Path(options["path"])) as store:
                if not is_store(store):
                    _refuse(f"{options['path']} has neither sessions, users nor settings.json.")
                self._import(store, report, options)
        except DamagedStoreError as error:
            # Of the store's own folder: what is in it is told, and the rest goes on.
            _refuse(f"{error}.")
        except DatabaseError as error:
            # Its first line only: PostgreSQL goes on with the statement, and with what is in it.
            why = str(error).partition("\n")[0]
            message = (
                f"The database does not answer: {why}. Run the command again: it does the rest."
            )
            raise CommandError(message) from error
        except SecretUnreadableError as error:
            raise CommandError(str(error)) from error
        report.end()
        if report.skipped:
            rest = "would be taken over" if options["dry_run"] else "is there"
            message = f"Skipped: {report.skipped}, named above. The rest {rest}."
            raise CommandError(message)

    def _import(self, store: Folder, report: Report, options: dict[str, Any]) -> None:
        found = places(store)
        owner, owners = _owners(found, options)
        run = StoreImport(
            store=store,
            owner=owner,
            owners=owners,
            zone=_zone(options["timezone"]),
            dry_run=options["dry_run"],
            overwrite_settings=options["overwrite_settings"],
        )
        report.begin(run.settings())
        for result in run.conversations(found):
            report.take(result, of=len(found))


def _refuse(message: str) -> NoReturn:
    raise CommandError(message, returncode=BAD_ARGUMENTS)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        _refuse(f"--timezone={name[:60]!r}: no such time zone. Examples: UTC, Europe/Berlin.")


def _owners(
    found: list[Place], options: dict[str, Any]
) -> tuple[User | None, dict[str, User] | None]:
    """Give the owner, and the owners of the signed-in users' conversations."""
    name, mapped = options["owner"], options["map"]
    if settings.AUTH_MODE == "local":
        if mapped or name not in (None, LOCAL_USERNAME):
            _refuse("With AUTH_MODE=local there is one user, who gets everything in the store.")
        return _local_user(dry_run=options["dry_run"]), None
    if name is None and not mapped:
        _refuse("With AUTH_MODE=accounts say who gets it: --owner NAME, or --map USER_ID=NAME.")
    return None if name is None else _user(name), _mapped(found, mapped)


def _mapped(found: list[Place], mapped: list[str]) -> dict[str, User]:
    user_ids = {place.user_id for place in found}
    owners: dict[str, User] = {}
    for pair in mapped:
        user_id, equals, name = pair.rpartition("=")
        if not equals or user_id in owners:
            _refuse(f"--map={pair[:200]!a}: it must be USER_ID=NAME, once for each USER_ID.")
        if user_id not in user_ids:
            _refuse(f"--map={pair[:200]!a}: the store has no conversations of that user.")
        owners[user_id] = _user(name)
    return owners


def _local_user(*, dry_run: bool) -> User:
    if not dry_run:
        return local_user_get()
    found = User.objects.filter(username=LOCAL_USERNAME).first()
    return found or User(username=LOCAL_USERNAME)


def _user(name: str) -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        _refuse(f"There is no user {name[:150]!a} here. `manage.py createsuperuser` makes one.")
    return found
