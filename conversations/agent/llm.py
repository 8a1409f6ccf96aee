"""What the loop asks of a language model, and how failures are named. No provider's library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from conversations.exceptions import HandrailError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The LLM's request to use a tool; `arguments` is the JSON text as it came, maybe broken."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one answer cost. `cost` is in US dollars, None where the model's price is unknown."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse:
    """One answer of the LLM."""

    response_id: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    #: The answer as a plain dict in OpenAI's form, kept as `tool_call_metadata.model_response`.
    raw: dict[str, Any] = field(default_factory=dict)


class LLMErrorKind(StrEnum):
    """The status ids that the web client can translate (CONTRACT section 6, status updates)."""

    AUTHENTICATION = "STATUS$ERROR_LLM_AUTHENTICATION"
    SERVICE_UNAVAILABLE = "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR"
    OUT_OF_CREDITS = "STATUS$ERROR_LLM_OUT_OF_CREDITS"
    CONTENT_POLICY = "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION"
    RATE_LIMIT = "STATUS$LLM_RATE_LIMIT"
    CONTEXT_WINDOW = "STATUS$ERROR_LLM_CONTEXT_WINDOW_EXCEEDED"
    OTHER = "STATUS$ERROR_LLM_REQUEST"


class LLMError(HandrailError):
    """The LLM's provider did not give an answer."""

    code = "llm_error"

    def __init__(
        self, kind: LLMErrorKind, message: str, *, retryable: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        #: Seconds that the provider asked us to wait, if it did.
        self.retry_after = retry_after


class LLM(Protocol):
    """A language model with native tool calls."""

    async def complete(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> LLMResponse:
        """Give one answer to `messages` (OpenAI's chat form), no retries. Raises LLMError only.

        Cancelling the call ends it at once.
        """
