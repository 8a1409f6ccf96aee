"""What a turn may use up before it is paused. Pure rules, asked before each LLM call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from conversations.agent.position import Position
from conversations.exceptions import HandrailError


class LimitReachedError(HandrailError):
    """A limit of this deployment or user is reached; the message says which and how to go on."""

    code = "limit_reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """What one turn is given."""

    #: Answers of the LLM to one message of the user.
    max_iterations: int = 500
    #: Seconds from the turn's claim, or what was told since; None is no limit.
    max_seconds: float | None = None
    #: US dollars for the whole conversation; None is no limit.
    max_budget: float | None = None
    #: Ask the user before each command or change of a file.
    confirmation_mode: bool = False
    #: Seconds to wait before each new try of a failed LLM call; their number bounds the tries.
    retry_waits: tuple[float, ...] = (1.0, 4.0, 10.0, 20.0)
    #: Seconds that a provider's own Retry-After may make us wait at the most.
    longest_wait: float = 60.0


def check_limits(
    config: LoopConfig, position: Position, *, cost: float, claimed_at: datetime
) -> None:
    """Raise LimitReachedError where the next LLM call of a turn claimed then is not allowed."""
    if position.iterations >= config.max_iterations:
        message = (
            f"Agent reached maximum of {config.max_iterations} steps for one message and was "
            "paused. Resume it or send a message to go on."
        )
        raise LimitReachedError(message)
    if config.max_seconds is not None and _seconds(position, claimed_at) >= config.max_seconds:
        message = (
            f"Agent reached maximum of {config.max_seconds:g} seconds for one message and was "
            "paused. Resume it or send a message to go on."
        )
        raise LimitReachedError(message)
    if config.max_budget is not None and cost >= config.max_budget:
        message = (
            f"Agent reached maximum budget of {config.max_budget:.2f} US dollars for this "
            f"conversation (used: {cost:.2f}) and was paused. Raise the budget to go on."
        )
        raise LimitReachedError(message)


def _seconds(position: Position, claimed_at: datetime) -> float:
    """Give how long the agent has worked on what it was told last; nothing before its first answer.

    Since its turn was claimed here: before, nobody may have worked, for a night. So a clock that
    jumps, or differs from that of another host, costs a pause, and each resume comes further.
    """
    if not position.iterations:
        return -1.0
    begun_at = max(position.events[position.begun_at].timestamp, claimed_at)
    return (datetime.now(UTC) - begun_at).total_seconds()
