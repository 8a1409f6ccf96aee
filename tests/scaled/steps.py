"""What an agent does in these tests, and what is left of it."""

from __future__ import annotations

from typing import Any

from tests.log_checks import assert_settled_once
from tests.scripted_llm import Step, calls, finish, run
from tests.serving import Server

STEPS = 14


def lines(web: Server, conversation_id: str) -> list[str]:
    """Give what the agent has appended so far."""
    file = web.workspace(conversation_id) / "effects"
    return file.read_text().splitlines() if file.exists() else []


def has_lines(web: Server, conversation_id: str, wanted: int) -> bool:
    return len(lines(web, conversation_id)) >= wanted


def append_next(request: dict[str, Any]) -> Step:
    asked = sum(message["role"] == "assistant" for message in request["messages"])
    if asked >= STEPS:
        return calls(finish("All steps."))
    return calls(run(f"echo {asked} >> effects; sleep 0.2; echo {asked} done"))


def work_long(request: dict[str, Any]) -> Step:
    if request["messages"][-1]["role"] == "tool":
        return calls(finish("Gone on."))
    return calls(run("echo begun >> effects; sleep 100"))


def observations(web: Server, conversation_id: str) -> list[dict[str, Any]]:
    events = web.trajectory(conversation_id)
    assert_settled_once(events)
    return [e for e in events if e.get("observation") in ("run", "error")]
