"""`manage.py export_conversation`: a conversation's log as JSON, as GET …/trajectory gives it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from conversations.management.operator_command import (
    OperatorCommand,
    bad_arguments,
    conversation_id,
)
from conversations.management.whole_file import is_plain_or_absent, written_aside
from conversations.models import Conversation
from conversations.selectors import trajectory_pieces


class Command(OperatorCommand):
    """Write a conversation's log."""

    help = "Write a conversation's log as JSON, the bytes of GET …/trajectory."
    changes = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which one, and where to."""
        parser.add_argument("conversation", metavar="ID", type=conversation_id)
        parser.add_argument(
            "--output",
            metavar="FILE",
            type=Path,
            help="write to this file, whole or not at all (default: standard output)",
        )

    def run(self, options: dict[str, Any]) -> None:
        """Write it; fail where it was deleted meanwhile, for then its end is missing."""
        pk, output = options["conversation"], options["output"]
        if options["json"] and output is None:
            message = "--json reports on a file: give --output too (the log itself is JSON)"
            raise bad_arguments(message)
        if not Conversation.objects.alive().filter(pk=pk).exists():
            message = f"There is no conversation {pk.hex}."
            raise bad_arguments(message)
        if output is None:
            # As bytes: they are UTF-8 whatever the terminal thinks.
            out: Any = self.stdout
            for piece in _pieces(pk):
                out.buffer.write(piece)
            out.buffer.flush()
            return
        try:
            if not is_plain_or_absent(output):
                message = (
                    f"{output} is no plain file, and is not replaced: give another name, or leave "
                    "--output out for standard output."
                )
                raise CommandError(message)
            with written_aside(output, replaces=True) as aside, aside.open("wb") as file:
                size = sum(map(file.write, _pieces(pk)))
        except OSError as error:
            message = f"{output} cannot be written: {error}."
            raise CommandError(message) from error
        self.report(options).end(
            f"{size:,} bytes are in {output}.",
            conversation=pk.hex,
            output=str(output),
            bytes=size,
        )


def _pieces(pk: UUID) -> Iterator[bytes]:
    """Give the log; raises CommandError at its end where it may lack some of it."""
    yield from trajectory_pieces(conversation_id=pk)
    # The rows of a conversation go together: while it is there, nothing was missing.
    if not Conversation.objects.filter(pk=pk).exists():
        message = f"The conversation {pk.hex} was deleted meanwhile: its log is not complete."
        raise CommandError(message)
