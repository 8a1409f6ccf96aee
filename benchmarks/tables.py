"""Cells and tables in Markdown. They know nothing of what is in them."""

from __future__ import annotations

from collections.abc import Sequence


def verdict(*, met: bool) -> str:
    """Say whether a target is met."""
    return "met" if met else "**not met**"


def short(value: float) -> str:
    """Give a figure with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Give a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
