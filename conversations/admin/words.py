"""Times, sizes and money in short words for people. It knows no page."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone

#: Stands where there is no value.
NOTHING: Final = "\N{EN DASH}"
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_KILO: Final = 1024


def span(seconds: float) -> str:
    """Give `3 d`, `5 min`, `0 s`: the largest unit that fits."""
    whole = max(0, int(seconds))
    for unit, size in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit}"
    return "0 s"


def since(moment: datetime | None) -> str:
    """Give how long ago a moment was."""
    return NOTHING if moment is None else span((timezone.now() - moment).total_seconds())


def money(dollars: float | None) -> str:
    """Give dollars, small sums to the hundredth of a cent."""
    value = dollars or 0.0
    return f"${value:,.4f}" if 0 < value < 1 else f"${value:,.2f}"


def size(number: float) -> str:
    """Give bytes as `812 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < _KILO:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KILO
    return f"{number:.1f} TB"
