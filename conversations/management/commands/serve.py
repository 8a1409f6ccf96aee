"""`manage.py serve`: the server in one process. It starts what project/asgi.py wires."""

from __future__ import annotations

import ipaddress
import socket
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from conversations.exceptions import RuntimeUnavailableError
from conversations.runtime.local import LocalRuntimeProvider

#: Seconds that open requests get when the server is told to end.
SHUTDOWN_SECONDS = 5
_APPLICATION = "project.asgi.application"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Command(BaseCommand):
    """Serve the API, the event stream and the agent loops."""

    help = "Serve the API, the event stream and the agent loops in one process."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=3000)

    @staticmethod
    def _check_port(host: str, port: int) -> None:
        """Say in words what uvicorn would say in a log line."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except (OSError, OverflowError) as error:
            message = f"Cannot listen on {host}:{port}: {error}. Choose another --port."
            raise CommandError(message) from error

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
        try:
            LocalRuntimeProvider().check()
        except RuntimeUnavailableError as error:
            raise CommandError(str(error)) from error
        self._check_port(host, port)
        self.stdout.write(f"Handrail listens on http://{host}:{port}")
        self.stdout.flush()
        uvicorn.run(
            import_string(_APPLICATION),
            host=host,
            port=port,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            ws_max_size=settings.MAX_SOCKET_MESSAGE_BYTES,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
