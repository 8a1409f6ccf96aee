"""`manage.py serve`: the server in one process. It starts what project/asgi.py wires."""

from __future__ import annotations

import ipaddress
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from conversations.checks import SANDBOX
from conversations.exceptions import DataDirError
from conversations.management.listener import listener_open
from conversations.management.readiness import database_check, settings_check
from conversations.services.presence import presence_check

#: Seconds that open requests get when the server is told to end.
SHUTDOWN_SECONDS = 5
_APPLICATION = "project.asgi.application"
_CONNECTION = "project.connection.Connection"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Command(BaseCommand):
    """Serve the API, the event stream and the agent loops."""

    help = (
        "Serve the API, the event stream and, unless workers do (EXECUTOR), the agent loops in "
        "one process."
    )
    # Run by hand, so that each is told in one line.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=3000)

    def handle(self, *args: Any, **options: Any) -> None:
        """Check what would fail later, then serve until told to end."""
        host, port = options["host"], options["port"]
        if settings.AUTH_MODE == "local" and not _is_loopback(host):
            message = (
                f"--host {host}: with AUTH_MODE=local nobody logs in, and whoever reaches this "
                "server runs commands on it. It listens on loopback addresses only; "
                "set AUTH_MODE=accounts to listen elsewhere."
            )
            raise CommandError(message)
        if settings.EXECUTOR == "in_process":
            warnings = settings_check(fatal={SANDBOX})
        else:
            # Where workers run the turns, no sandbox starts here.
            warnings = settings_check(apart_from={SANDBOX})
        for warning in warnings:
            self.stderr.write(warning)
        try:
            presence_check()
        except DataDirError as error:
            raise CommandError(str(error)) from error
        database_check()
        listener = listener_open(host, port)
        self.stdout.write(f"Handrail listens on http://{host}:{port}")
        self.stdout.flush()
        config = uvicorn.Config(
            import_string(_APPLICATION),
            lifespan="on",
            http=import_string(_CONNECTION),
            # Not uvloop, where it happens to be installed: it connects past outbound/wall.py.
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            ws_max_size=settings.MAX_SOCKET_MESSAGE_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            listener.close()
