"""The events of one stored conversation: checked as a whole first, then given a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from conversations.events.base import NewEvent
from conversations.events.codec import EventRow, event_from_row
from conversations.events.states import AgentState
from conversations.exceptions import DamagedStoreError
from conversations.openhands_store.ending import Ending
from conversations.openhands_store.files import MAX_EVENT_BYTES, Folder
from conversations.openhands_store.translation import Translator, usage_in

EVENTS = "events"
#: What one conversation may have: it is stored in one transaction, and a turn reads all of it.
MAX_LOG_BYTES, MAX_EVENTS = 512 * 1024 * 1024, 200_000
#: A batch ends at the first of these; a conversation below the second is read only once.
BATCH_EVENTS, BATCH_BYTES = 500, 4 * 1024 * 1024
#: Notes on one conversation that are kept; more of them say nothing new.
MAX_NOTES = 20
_NAME = re.compile(r"(0|[1-9]\d{0,17})\.json", flags=re.ASCII)


@dataclass(slots=True, kw_only=True)
class StoredLog:
    """What a first reading has found out about a conversation's events."""

    folder: Folder
    #: The events' numbers in the store, in order; gaps are usual.
    numbers: Sequence[int]
    zone: tzinfo
    first_time: datetime | None = None
    last_time: datetime | None = None
    #: Cost, prompt and completion tokens of the last llm_metrics.
    usage: tuple[float | None, int, int] | None = None
    notes: list[str] = field(default_factory=list)
    #: The last state that clients of the original saw.
    state: AgentState | None = None
    #: What has to be added for the conversation to rest.
    closing: list[NewEvent] = field(default_factory=list)
    _small: list[EventRow] | None = None

    def batches(self) -> Iterator[list[EventRow]]:
        """Give all rows in order, in bounded memory. Raises DamagedStoreError."""
        if self._small is not None:
            yield self._small
            return
        batch: list[EventRow] = []
        size = 0
        for row, row_size in self._rows(lambda _where, _what: None):
            batch.append(row)
            size += row_size
            if len(batch) >= BATCH_EVENTS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _rows(self, note: Callable[[str, str], None]) -> Iterator[tuple[EventRow, int]]:
        new_ids = {number: new for new, number in enumerate(self.numbers)}
        translator = Translator(new_ids=new_ids, zone=self.zone, note=note)
        for number in self.numbers:
            name = f"{number}.json"
            data, size = self.folder.json(name, MAX_EVENT_BYTES)
            yield translator.row(data, number=number, where=self.folder.place(name)), size

    def _note(self, where: str, what: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(f"{where}: {what}")
        elif len(self.notes) == MAX_NOTES:
            self.notes.append("and more of that kind")

    def check(self) -> None:
        """Read everything once. Raises DamagedStoreError for the first file that cannot be used."""
        ending, small, total = Ending(), [], 0
        for row, size in self._rows(self._note):
            total += size
            if total > MAX_LOG_BYTES:
                raise DamagedStoreError(self.folder.path, f"is over {MAX_LOG_BYTES:,} bytes")
            if total <= BATCH_BYTES:
                small.append(row)
            else:
                small.clear()
            self.first_time = self.first_time or row.timestamp
            self.last_time = row.timestamp
            self.usage = usage_in(row.payload.get("llm_metrics")) or self.usage
            ending.apply(event_from_row(row))
        self.closing, self.state = ending.events(), ending.state
        if total <= BATCH_BYTES:
            self._small = small


def event_numbers(folder: Folder) -> tuple[list[int], list[str]]:
    """Give the numbers of the stored events, in order, and the names of what is no event."""
    names = folder.names()
    matches = [_NAME.fullmatch(name) for name in names]
    numbers = sorted(int(match[1]) for match in matches if match)
    return numbers, [name for name, match in zip(names, matches, strict=True) if not match]


def log_read(folder: Folder, zone: tzinfo) -> StoredLog:
    """Read and check a conversation's events. Raises DamagedStoreError."""
    numbers, others = event_numbers(folder)
    if len(numbers) > MAX_EVENTS:
        raise DamagedStoreError(folder.path, f"has more than {MAX_EVENTS:,} events")
    log = StoredLog(folder=folder, numbers=numbers, zone=zone)
    for name in others[:MAX_NOTES]:
        log.notes.append(f"{folder.place(name)}: is no event; left out")
    missing = numbers[-1] + 1 - len(numbers) if numbers else 0
    if missing:
        first = next(new for new, number in enumerate(numbers) if new != number)
        log.notes.append(f"{folder.place(f'{first}.json')}: is missing (of such gaps: {missing})")
    log.check()
    return log
