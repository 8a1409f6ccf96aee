"""What operators' commands share: arguments, exit codes, reports, progress. It knows no table."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, NoReturn, TextIO
from uuid import UUID

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    OutputWrapper,
)
from django.db import DatabaseError

from conversations.exceptions import HandrailError

#: Exit codes of every command; 0 is done.
FAILED, BAD_ARGUMENTS = 1, 2
#: Seconds between two looks of a person at the progress.
_PROGRESS_SECONDS = 0.2
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_500)


def duration(text: str) -> timedelta:
    """Read `30d`, `12h`, `30m` or `45s`; for argparse."""
    match = re.fullmatch(r"(0*[1-9]\d{0,9})([smhd])", text, flags=re.ASCII)
    if match is not None:
        unit = timedelta(**{_UNITS[match[2]]: 1})
        if int(match[1]) <= _LONGEST // unit:
            return unit * int(match[1])
    message = f"{text!r}: it must be a time such as 45s, 30m, 12h or 30d, at most 36500d"
    raise argparse.ArgumentTypeError(message)


def seconds(text: str) -> float:
    """Read a number of seconds from 0 to 3600; for argparse."""
    if re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text, flags=re.ASCII) and float(text) <= 3600:  # noqa: PLR2004  # an hour
        return float(text)
    message = f"{text!r}: it must be a number of seconds from 0 to 3600"
    raise argparse.ArgumentTypeError(message)


def whole_number(most: int) -> Callable[[str], int]:
    """Give what reads a whole number from 1 to `most`; for argparse."""

    def read(text: str) -> int:
        # The length first: Python refuses to convert a number of thousands of digits.
        if re.fullmatch(r"0*[1-9]\d{0,8}", text, flags=re.ASCII) and int(text) <= most:
            return int(text)
        message = f"{text[:50]!r}: it must be a whole number from 1 to {most}"
        raise argparse.ArgumentTypeError(message)

    return read


def conversation_id(text: str) -> UUID:
    """Read an id as the wire has it, 32 hexadecimal digits, or with dashes; for argparse."""
    if re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        return UUID(text)
    message = f"{text[:50]!r}: a conversation's id has 32 hexadecimal digits"
    raise argparse.ArgumentTypeError(message)


def bad_arguments(message: str) -> CommandError:
    """Give the error for arguments that are well-formed and yet name nothing."""
    return CommandError(message, returncode=BAD_ARGUMENTS)


class _Parser(CommandParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line: the usage has a command of its own, --help."""
        if self.called_from_command_line:
            self.exit(BAD_ARGUMENTS, f"{self.prog}: {message}\n")
        raise bad_arguments(message)


class Report:
    """Items as they are found, totals at the end: lines for people, or one JSON object.

    Nothing is kept: there may be a million items.
    """

    def __init__(self, out: OutputWrapper, *, as_json: bool, lists: bool = True) -> None:
        """Report to `out`; people get no line an item unless it `lists`."""
        self._out = out
        self._as_json = as_json
        self._lists = lists
        self._items = 0

    def item(self, line: str, **fields: Any) -> None:
        """Tell of one thing."""
        if self._as_json:
            self._out.write('{"items": [' if self._items == 0 else ",", ending="\n")
            self._out.write(json.dumps(fields), ending="")
        elif self._lists:
            self._out.write(line)
        self._items += 1

    def end(self, line: str, **totals: Any) -> None:
        """Tell what it came to."""
        if self._as_json:
            begin = '{"items": [' if self._items == 0 else "\n"
            self._out.write(f"{begin}], {json.dumps(totals)[1:]}")
        else:
            self._out.write(line)


class Progress:
    """One line on a terminal that counts; nothing where nobody looks."""

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty()
        self._next = 0.0
        self._shown = False

    def at(self, number: int) -> None:
        """Show how far it is, a few times a second at the most."""
        if self._shows and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_SECONDS
            self._shown = True
            self._stream.write(f"\r{self._what}: {number:,} ")
            self._stream.flush()

    def end(self) -> None:
        """Give the line back."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class OperatorCommand(BaseCommand):
    """Base of the commands of docs/operations.md: exit code 0, 1 or 2, errors in one line."""

    # They are the server's: they ask for more than these commands need, and take longer.
    requires_system_checks = []
    #: Whether there is something that --dry-run can leave undone.
    changes: ClassVar[bool] = True
    #: Whether there is something to report when it ends.
    reports: ClassVar[bool] = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make a parser that tells an error in one line, and the options that all commands have."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django names its own class; there is no other place to put ours.
        parser.__class__ = _Parser
        if self.reports:
            parser.add_argument("--json", action="store_true", help="report as one JSON object")
        if self.changes:
            parser.add_argument(
                "--dry-run", action="store_true", help="say what would be done only"
            )
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; what goes wrong is one line."""
        try:
            self.run(options)
        except DatabaseError as error:
            # Its first line only: PostgreSQL goes on with the statement, and with what is in it.
            why = str(error).partition("\n")[0]
            message = f"The database does not answer: {why}. The command may be run again."
            raise CommandError(message) from error
        except HandrailError as error:
            raise CommandError(str(error)) from error
        except BrokenPipeError:
            # Whoever read it has enough; Python would complain when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        except OSError as error:
            # A disk that is full, a folder that is closed: the system's words say which.
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            message = "Interrupted. What was done stays done; run it again for the rest."
            raise CommandError(message) from error

    def run(self, options: dict[str, Any]) -> None:
        """Do the command's work. Raises CommandError where the exit code is not 0."""
        raise NotImplementedError

    def report(self, options: dict[str, Any], *, lists: bool = True) -> Report:
        """Give where to report to."""
        return Report(self.stdout, as_json=options["json"], lists=lists)
