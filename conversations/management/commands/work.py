"""`manage.py work`: a worker process. It starts what project/worker.py wires."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string

from conversations.checks import SANDBOX
from conversations.management.listener import listener_open
from conversations.management.operator_command import (
    OperatorCommand,
    bad_arguments,
    whole_number,
)
from conversations.management.readiness import data_dir_check, database_check, settings_check

DEFAULT_CONCURRENCY: Final = 10
_MOST: Final = 5000
_PORTS: Final = 65535
_WORK: Final = "project.worker.work"


class Command(OperatorCommand):
    """Run turns that servers have put on the queue."""

    help = "Run the agents' turns that servers have put on the queue (EXECUTOR=procrastinate)."
    changes = False
    # Run by hand, so that each is told in one line.
    requires_system_checks = []
    reports = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how many turns at once, and where metrics are asked for."""
        parser.add_argument(
            "--concurrency",
            metavar="N",
            type=whole_number(_MOST),
            default=DEFAULT_CONCURRENCY,
            help=f"turns at once, 1 to {_MOST} (default {DEFAULT_CONCURRENCY})",
        )
        parser.add_argument(
            "--metrics-port",
            metavar="N",
            type=whole_number(_PORTS),
            help="give this worker's /metrics there, to whoever has METRICS_TOKEN (default: not)",
        )
        parser.add_argument(
            "--metrics-host",
            metavar="ADDRESS",
            default="127.0.0.1",
            help="the address of that port (default 127.0.0.1)",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Check what would fail later, then work until told to end."""
        if connection.vendor != "postgresql":
            message = (
                "Workers need PostgreSQL, and this is SQLite: set DATABASE_URL and "
                "EXECUTOR=procrastinate, or let `serve` run the turns."
            )
            raise bad_arguments(message)
        if settings.EXECUTOR != "procrastinate":
            message = (
                f"EXECUTOR={settings.EXECUTOR}: the servers run the turns themselves and there is "
                "no queue. Set EXECUTOR=procrastinate for servers and workers, then migrate."
            )
            raise bad_arguments(message)
        port = options["metrics_port"]
        if port is not None and not settings.METRICS_TOKEN:
            message = "--metrics-port: set METRICS_TOKEN, which a scraper of /metrics has to send."
            raise bad_arguments(message)
        for warning in settings_check(fatal={SANDBOX}):
            self.stderr.write(warning)
        data_dir_check()
        database_check()
        metrics = None
        if port is not None:
            metrics = listener_open(options["metrics_host"], port, option="--metrics-port")
        self.stdout.write(f"Handrail works, on up to {options['concurrency']} turns at once")
        self.stdout.flush()
        import_string(_WORK)(options["concurrency"], metrics)
