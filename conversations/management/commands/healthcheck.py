"""`manage.py healthcheck`: one line and an exit code, for workers and containers."""

from __future__ import annotations

import argparse
import threading
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.core.management.base import CommandError
from django.db import connections

from conversations.management.operator_command import OperatorCommand, seconds
from conversations.management.readiness import (
    data_dir_check,
    database_check,
    server_check,
    worker_check,
)

DEFAULT_DEADLINE: Final = 5.0


def _url(text: str) -> SplitResult:
    message = f"{text!r}: it must be an address such as http://127.0.0.1:3000"
    try:
        url = urlsplit(text)
        # The port is looked at when it is asked for: it may be none.
        is_good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError as error:
        raise argparse.ArgumentTypeError(message) from error
    if not is_good or url.username:
        raise argparse.ArgumentTypeError(message)
    return url


class _Checks(threading.Thread):
    """Works on a thread: a database that hangs can't be told to give up, only be left."""

    def __init__(self, checks: dict[str, Callable[[], None]]) -> None:
        super().__init__(name="healthcheck", daemon=True)
        self._checks = checks
        self.passed: list[str] = []
        self.problem = ""

    def run(self) -> None:
        try:
            for name, check in self._checks.items():
                check()
                self.passed.append(name)
        except CommandError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is not healthy
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            connections.close_all()


class Command(OperatorCommand):
    """Say whether all is well."""

    help = "Say in one line whether database, migrations and data directory are as they should."
    changes = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whom to ask besides, and how long."""
        parser.add_argument(
            "--url", type=_url, help="ask this server's /health too: http://127.0.0.1:3000"
        )
        parser.add_argument(
            "--worker", action="store_true", help="ask for the worker of this machine or container"
        )
        parser.add_argument(
            "--deadline",
            metavar="SECONDS",
            type=seconds,
            default=DEFAULT_DEADLINE,
            help=f"for all of it (default {DEFAULT_DEADLINE:g})",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Check within the deadline; exit code 1 where something is not well."""
        deadline, url = options["deadline"], options["url"]
        checks: dict[str, Callable[[], None]] = {
            "data directory": data_dir_check,
            "database": database_check,
        }
        if options["worker"]:
            checks["worker"] = worker_check
        if url is not None:
            checks["server"] = partial(server_check, url, seconds=deadline)
        thread = _Checks(checks)
        thread.start()
        thread.join(deadline)
        passed, problem = list(thread.passed), thread.problem
        if not problem and len(passed) < len(checks):
            late = next(name for name in checks if name not in passed)
            problem = f"The {late} has not answered in {deadline:g} seconds."
        report = self.report(options)
        if not problem or options["json"]:
            report.end(
                f"OK: {', '.join(passed)}.", healthy=not problem, passed=passed, problem=problem
            )
        if problem:
            raise CommandError(problem)
