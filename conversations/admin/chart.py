"""Bars by day as SVG, drawn here: no script, no font, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from conversations.admin.words import money

_WIDTH: Final = 720
_HEIGHT: Final = 170
_LEFT: Final = 64
_TOP: Final = 12
_BOTTOM: Final = 24
#: Room for the half of the last day's label that stands beside its bar.
_RIGHT: Final = 12
#: Days between two labels.
_LABELS: Final = 7


def cost_chart(days: Sequence[tuple[date, float]]) -> SafeString:
    """Draw what each day has cost; each bar says its day and its sum to whoever points at it."""
    highest = max((cost for _, cost in days), default=0.0) or 1.0
    room = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(days))
    floor = _HEIGHT - _BOTTOM
    bars, labels = [], []
    for number, (day, cost) in enumerate(days):
        x, height = _LEFT + number * step, max(cost / highest * room, 1.5 if cost else 0)
        numbers = (f"{x + 2:.1f}", f"{floor - height:.1f}", f"{step - 4:.1f}", f"{height:.1f}")
        bars.append((*numbers, f"{day:%d %b}: {money(cost)}"))
        if (len(days) - 1 - number) % _LABELS == 0:
            labels.append((f"{x + step / 2:.1f}", _HEIGHT - 7, f"{day:%d %b}"))
    marks = [
        (_LEFT - 8, f"{_TOP + 4 + room * part:.1f}", money(highest * (1 - part)))
        for part in (0.0, 0.5, 1.0)
    ]
    lines = [(_LEFT, f"{_TOP + room * part:.1f}", _WIDTH) for part in (0.0, 0.5, 1.0)]
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="Cost of each day">'
        "{}{}{}{}</svg>",
        _WIDTH,
        _HEIGHT,
        format_html_join("", '<path class="grid" d="M{} {}H{}"/>', lines),
        format_html_join("", '<text class="mark" x="{}" y="{}">{}</text>', marks),
        format_html_join("", '<text class="day" x="{}" y="{}">{}</text>', labels),
        format_html_join(
            "",
            '<rect x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
            bars,
        ),
    )
