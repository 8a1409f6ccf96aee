"""The words for what an agent is doing (CONTRACT section 7)."""

from __future__ import annotations

from enum import StrEnum


class AgentState(StrEnum):
    """The thirteen states that the web client knows; any other word breaks its page."""

    LOADING = "loading"
    INIT = "init"
    RUNNING = "running"
    AWAITING_USER_INPUT = "awaiting_user_input"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"
    REJECTED = "rejected"
    ERROR = "error"
    RATE_LIMITED = "rate_limited"
    AWAITING_USER_CONFIRMATION = "awaiting_user_confirmation"
    USER_CONFIRMED = "user_confirmed"
    USER_REJECTED = "user_rejected"


#: In these states the agent has work before it: a turn that finds one of them goes on.
WORKING_STATES = frozenset({AgentState.LOADING, AgentState.INIT, AgentState.RUNNING})
