"""Whether this process finds what it needs: the database, its migrations, a folder to write to."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Container
from urllib.parse import SplitResult

from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from conversations.services.sweep_runs import SILENT, sweeps_here


def settings_check(*, fatal: Container[str] = (), apart_from: Container[str] = ()) -> list[str]:
    """Run all of Django's checks; give each warning as a line, but those with an id `apart_from`.

    Raises CommandError where there is an error, or a warning whose id is `fatal`.
    """
    found = [message for message in run_checks() if not message.is_silenced()]
    lines = [(_line(message), message) for message in found if message.id not in apart_from]
    errors = [line for line, message in lines if message.is_serious() or message.id in fatal]
    if not errors:
        return [line for line, _ in lines]
    more = f" (And {len(errors) - 1} more: see manage.py check.)" if len(errors) > 1 else ""
    raise CommandError(errors[0] + more)


def _line(message: CheckMessage) -> str:
    said = " ".join(f"{message.msg} {message.hint or ''}".split())
    return f"{message.id}: {said}"


def database_check() -> None:
    """Raise CommandError unless the database answers and is up to date."""
    try:
        migrations = MigrationExecutor(connection)
        plan = migrations.migration_plan(migrations.loader.graph.leaf_nodes())
    except DatabaseError as error:
        why = " ".join(str(error).split())
        message = f"The database does not answer: {why}"
        raise CommandError(message) from error
    if plan:
        message = (
            f"The database lacks {len(plan)} migrations: run manage.py migrate first "
            "(installed: handrail migrate)."
        )
        raise CommandError(message)


def worker_check() -> None:
    """Raise CommandError unless a process that runs turns has been heard of on this machine."""
    if not sweeps_here():
        message = f"No worker on this machine has been heard of for {SILENT.total_seconds():.0f} s."
        raise CommandError(message)


def data_dir_check() -> None:
    """Raise CommandError unless DATA_DIR takes a file."""
    try:
        with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
            file.write(b"x")
    except OSError as error:
        message = f"DATA_DIR={settings.DATA_DIR} cannot be written to: {error}"
        raise CommandError(message) from error


def server_check(url: SplitResult, *, seconds: float) -> None:
    """Raise CommandError unless a server answers at `url`, an http(s) address, with its health."""
    https = url.scheme == "https"
    # No proxy of the environment: it is this address that is asked for.
    kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
    client = kind(url.hostname or "", url.port, timeout=max(seconds, 0.1))
    try:
        client.request("GET", f"{url.path.rstrip('/')}/health", headers=_host())
        answer = client.getresponse()
        said = answer.status, answer.read(100)
    except (OSError, http.client.HTTPException) as error:
        message = f"{url.geturl()} does not answer: {str(error) or type(error).__name__}"
        raise CommandError(message) from error
    finally:
        client.close()
    if said != (http.HTTPStatus.OK, b'"OK"'):
        message = f"{url.geturl()}/health answered {said[0]}, not as Handrail does"
        raise CommandError(message)


def _host() -> dict[str, str]:
    """Give the name to ask for: in a container the address is 127.0.0.1, which is not allowed."""
    # `.example.org` allows example.org, and what is below it.
    names = [name.removeprefix(".") for name in settings.ALLOWED_HOSTS if name[0] != "*"]
    return {"Host": names[0]} if settings.AUTH_MODE == "accounts" and names else {}
