"""Cost and tokens of a conversation so far, as the web client shows them."""

from __future__ import annotations

from dataclasses import dataclass

from conversations.agent.llm import Usage
from conversations.events.base import JSONObject


@dataclass(slots=True, kw_only=True)
class Metrics:
    """Running totals; a loop starts them with what the conversation's row says."""

    model: str = ""
    accumulated_cost: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def add(self, usage: Usage) -> None:
        """Count one answer. An unknown cost adds nothing: it is unknown, not free."""
        self.accumulated_cost += usage.cost or 0.0
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cache_read_tokens += usage.cache_read_tokens
        self.cache_write_tokens += usage.cache_write_tokens

    def to_wire(self) -> JSONObject:
        """Give `llm_metrics` (CONTRACT section 6): all numbers, never null."""
        return {
            "accumulated_cost": self.accumulated_cost,
            "accumulated_token_usage": {
                "model": self.model,
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "cache_read_tokens": self.cache_read_tokens,
                "cache_write_tokens": self.cache_write_tokens,
            },
        }
