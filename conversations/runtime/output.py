"""A command's output while it comes, and what came of it: bounded, whole characters only."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

#: Characters that are kept of the beginning and of the end.
KEPT = 15_000


class Output:
    """Keeps the first and the last characters of a stream of bytes, and counts what is between."""

    def __init__(self, kept: int = KEPT) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept = kept
        self._head = ""
        self._tail = ""
        self._left_out = 0
        #: Bytes so far.
        self.received = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.received += len(data)
        text = self._decoder.decode(data)
        room = self._kept - len(self._head)
        self._head += text[:room]
        self._tail += text[max(room, 0) :]
        if len(self._tail) > 2 * self._kept:
            cut = len(self._tail) - self._kept
            self._left_out += cut
            self._tail = self._tail[cut:]

    def text(self) -> str:
        """Give what was kept, with a line that says how much was not."""
        cut = max(len(self._tail) - self._kept, 0)
        left_out = self._left_out + cut
        if not left_out:
            return self._head + self._tail
        return f"{self._head}\n[… {left_out} characters left out …]\n{self._tail[cut:]}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a command. `exit_code` is -1 when the shell died without one."""

    output: str
    exit_code: int
    working_dir: str
    #: False when the command took the shell with it.
    shell_lives: bool
    #: Why it was interrupted; empty when it ended by itself.
    interrupted: str = ""
