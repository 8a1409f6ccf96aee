"""What an import says: lines for people, one JSON object for machines, progress on a terminal."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from conversations.management.store_import import Outcome, Result

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

_CLEAR = "\r\x1b[K"


class Report:
    """Tells each result as it comes and keeps only their counts: a store may hold many."""

    def __init__(
        self, *, out: OutputWrapper, err: OutputWrapper, as_json: bool, dry_run: bool
    ) -> None:
        self._out, self._err, self._as_json, self._dry_run = out, err, as_json, dry_run
        self._counts: Counter[Outcome] = Counter()
        self._events = self._done = 0
        self._settings: Result | None = None

    @property
    def skipped(self) -> int:
        """Give how much was not taken over for a reason that somebody has to see to."""
        settings = self._settings is not None and self._settings.outcome is Outcome.SKIPPED
        return self._counts[Outcome.SKIPPED] + settings

    def begin(self, settings: Result) -> None:
        """Take what became of the settings."""
        self._settings = settings
        self._tell(settings, settings.path)
        if self._as_json:
            head = json.dumps({"dry_run": self._dry_run, "settings": asdict(settings)})
            self._out.write(f'{head[:-1]}, "conversations": [', ending="")

    def take(self, result: Result, *, of: int) -> None:
        """Take what became of one conversation, of so many."""
        if self._as_json:
            separator = ",\n" if self._done else "\n"
            self._out.write(separator + json.dumps(asdict(result)), ending="")
        self._done += 1
        self._counts[result.outcome] += 1
        self._events += result.events
        self._tell(result, result.conversation_id or result.path)
        if self._err.isatty():
            self._err.write(f"{_CLEAR}{self._done:,} of {of:,} conversations", ending="")
            self._err.flush()

    def _tell(self, result: Result, name: str) -> None:
        lines = []
        if result.outcome is Outcome.SKIPPED:
            lines.append(f"Skipped: {result.reason}.")
        elif result.reason:
            lines.append(f"Left as it is: {name}: {result.reason}.")
        lines += [f"Note: {note}." for note in result.notes]
        for line in lines:
            self._err.write(f"{_CLEAR}{line}" if self._err.isatty() else line)

    def end(self) -> None:
        """Say how it went as a whole."""
        if self._err.isatty():
            self._err.write(_CLEAR, ending="")
        if self._as_json:
            counts = {outcome.value: self._counts[outcome] for outcome in Outcome}
            counts.pop(Outcome.ABSENT)
            tail = json.dumps({"counts": counts, "events": self._events})
            self._out.write(f"\n], {tail[1:]}")
            return
        self._out.write(f"{'Settings:':<40}{_SETTINGS[self._outcome_of_settings()]}")
        for label, number in (
            ("Conversations to import" if self._dry_run else "Conversations imported", "imported"),
            ("Conversations already there", "already_there"),
            ("Already there, went on in the original", "went_on"),
            ("Conversations skipped", "skipped"),
        ):
            self._out.write(f"{label + ':':<40}{self._counts[Outcome(number)]}")
        self._out.write(f"{'Events:':<40}{self._events}")
        if self._dry_run:
            self._out.write("This was a dry run: nothing was written.")

    def _outcome_of_settings(self) -> Outcome:
        return self._settings.outcome if self._settings else Outcome.ABSENT


_SETTINGS = {
    Outcome.IMPORTED: "taken over",
    Outcome.ALREADY_THERE: "left as they are",
    Outcome.SKIPPED: "skipped",
    Outcome.ABSENT: "none in the store",
}
