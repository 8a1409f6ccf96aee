"""Which paths a .gitignore leaves out. Pure text; no file is looked at.

Our own, since the rules come out of a sandbox: the libraries under our licences make of a pattern
one regular expression, and `*a*a*a*…b` then takes years. Here every `*` is decided once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

#: Lines of a .gitignore that count; characters and stars of one that does.
MAX_LINES, MAX_LINE, MAX_STARS = 500, 500, 10


@lru_cache(maxsize=4096)
def _segment(pattern: str) -> re.Pattern[str]:
    # fnmatch writes `!` for "not" in brackets, as git does beside `^`.
    return re.compile(translate(pattern.replace("[^", "[!")))


@dataclass(frozen=True, slots=True)
class _Rule:
    segments: tuple[str, ...]
    keeps: bool
    folders_only: bool

    def matches(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether a whole path is meant. One pass for each segment of the pattern."""
        if self.folders_only and not is_folder:
            return False
        # The numbers of parts that the pattern so far can have used up.
        ends = {0}
        for segment in self.segments:
            if segment == "**":
                ends = set(range(min(ends), len(parts) + 1)) if ends else set()
            else:
                match = _segment(segment).match
                ends = {end + 1 for end in ends if end < len(parts) and match(parts[end])}
        return len(parts) in ends


def _rule(line: str) -> _Rule | None:
    line = line.rstrip("\n\r")
    line = line if line.endswith("\\ ") else line.rstrip(" ")
    if not line or line.startswith("#") or len(line) > MAX_LINE or line.count("*") > MAX_STARS:
        return None
    keeps = line.startswith("!")
    line = line.removeprefix("!").removeprefix("\\")
    folders_only = line.endswith("/")
    segments = tuple(part for part in line.split("/") if part)
    if not segments:
        return None
    if "/" not in line.rstrip("/"):
        segments = ("**", *segments)
    if segments[-1] == "**":
        # `a/**` means what is in `a`, not `a` itself.
        segments = (*segments, "*")
    return _Rule(segments, keeps=keeps, folders_only=folders_only)


class GitIgnore:
    """The rules of one .gitignore at the top of a tree; of those that match, the last counts."""

    def __init__(self, text: str) -> None:
        rules = (_rule(line) for line in text.splitlines()[:MAX_LINES])
        self._rules = [rule for rule in rules if rule is not None]

    def leaves_out(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether a path, or a folder that it is in, is left out."""
        return any(
            self.leaves_out_itself(parts[:length], is_folder=is_folder or length < len(parts))
            for length in range(1, len(parts) + 1)
        )

    def leaves_out_itself(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Whether a path is left out, given that the folder that it is in is not."""
        for rule in reversed(self._rules):
            if rule.matches(parts, is_folder=is_folder):
                return not rule.keeps
        return False
