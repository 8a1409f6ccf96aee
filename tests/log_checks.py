"""What has to hold for every log, checked on what the public API gives."""

from __future__ import annotations

from typing import Any

EXECUTABLE = {"run", "read", "edit", "write", "think"}


def observations_by_cause(trajectory: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Give each observation by the id of the action that it settles."""
    return {event["cause"]: event for event in trajectory if "cause" in event}


def assert_settled_once(trajectory: list[dict[str, Any]]) -> None:
    """Check invariants 2 and 5: ids are dense, every executable action has one observation."""
    assert [event["id"] for event in trajectory] == list(range(len(trajectory)))
    actions = [e["id"] for e in trajectory if e.get("action") in EXECUTABLE]
    causes = [e["cause"] for e in trajectory if "cause" in e]
    assert sorted(causes) == sorted(actions)
    assert all(event["cause"] < event["id"] for event in trajectory if "cause" in event)
