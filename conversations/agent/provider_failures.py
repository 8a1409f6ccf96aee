"""How a provider's failure is named and told to people. No provider's library here."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from conversations.agent.llm import LLMError, LLMErrorKind

_MASK: Final = "******"
_LONGEST_DETAIL: Final = 300
_LONGEST_TOLD: Final = 4_000
#: Seconds. A provider that asks for more is one whose turn had better end.
_LONGEST_RETRY_AFTER: Final = 120.0
_LONGEST_CHAIN: Final = 10

_SENTENCES: Final = {
    LLMErrorKind.AUTHENTICATION: "The LLM provider refused the API key for {model}: "
    "check the key in the settings",
    LLMErrorKind.RATE_LIMIT: "The LLM provider limits how often {model} may be asked: wait a while",
    LLMErrorKind.OUT_OF_CREDITS: "The account that pays for {model} has no credits left: add some",
    LLMErrorKind.CONTENT_POLICY: "The content policy of {model} refused this: word it differently",
    LLMErrorKind.CONTEXT_WINDOW: "The conversation is too long for {model}: start a new one",
    LLMErrorKind.INTERNAL_SERVER_ERROR: "The LLM provider failed when {model} was asked: try again",
    LLMErrorKind.SERVICE_UNAVAILABLE: "The LLM provider of {model} is overloaded or out of reach: "
    "try again, or check the base URL",
    LLMErrorKind.OTHER: "The request to {model} failed: check the model's name and the base URL",
}
_NOT_SENT: Final = "The request to {model} was not sent: {reason}."
_NOT_READ: Final = "The answer of {model} was not read: {reason}. Check the base URL."
_UNREADABLE: Final = "{model} gave an answer that cannot be read: try again, or check the base URL"
_TOO_LATE: Final = "{model} gave no answer within {timeout:g} seconds: try again"

_INTERNAL_STATUS: Final = 500
_KIND_OF_STATUS: Final = {
    401: LLMErrorKind.AUTHENTICATION,
    402: LLMErrorKind.OUT_OF_CREDITS,
    403: LLMErrorKind.AUTHENTICATION,
    429: LLMErrorKind.RATE_LIMIT,
    502: LLMErrorKind.SERVICE_UNAVAILABLE,
    503: LLMErrorKind.SERVICE_UNAVAILABLE,
    529: LLMErrorKind.SERVICE_UNAVAILABLE,
}
_RETRYABLE: Final = frozenset(
    {
        LLMErrorKind.RATE_LIMIT,
        LLMErrorKind.INTERNAL_SERVER_ERROR,
        LLMErrorKind.SERVICE_UNAVAILABLE,
    }
)
_TIMEOUTS: Final = frozenset({"TimeoutError", "Timeout", "APITimeoutError"})
_NO_CONNECTION: Final = frozenset({"ConnectError", "RemoteProtocolError", "ReadError"})
#: What the provider's words say, where its status says less.
_KIND_OF_WORDS: Final = (
    (
        frozenset({403, 429}),
        re.compile(r"insufficient_quota|exceeded your current quota|credit balance|credits"),
        LLMErrorKind.OUT_OF_CREDITS,
    ),
    (
        # Narrower: a refused request is often quoted, and may speak of credits itself.
        frozenset({400}),
        re.compile(r"insufficient_quota|your credit balance"),
        LLMErrorKind.OUT_OF_CREDITS,
    ),
    (
        frozenset({400}),
        re.compile(r"context_length_exceeded|maximum context length"),
        LLMErrorKind.CONTEXT_WINDOW,
    ),
    (
        frozenset({400, 403}),
        re.compile(r"content_policy_violation|content_filter|content filtering policy"),
        LLMErrorKind.CONTENT_POLICY,
    ),
)
_UNREADABLE_ANSWER: Final = re.compile(r"invalid response|'choices' that is not a list")
_LIBRARY_PREFIX: Final = re.compile(
    r"^((litellm\.)?\w*(Error|Exception|Timeout)\s*[:-]|LiteLLM:)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailures:
    """Turns what a call to one model raised into an LLMError that never shows the API key."""

    model: str
    #: Seconds that the model had for an answer.
    timeout: float
    api_key: str = field(repr=False)

    def named(self, error: Exception) -> LLMError:
        """Make the LLMError for `error`; judged by its status, its class names and its text."""
        kind, template = _diagnosis(error)
        detail = str(error)
        if getattr(error, "status_code", None) is None and template is None:
            detail = f"{type(error).__name__} {detail}"
        retryable = kind in _RETRYABLE or template is _UNREADABLE
        return LLMError(
            kind,
            self._sentence(template or _SENTENCES[kind], detail),
            retryable=retryable,
            retry_after=_retry_after(error) if retryable else None,
        )

    def unreadable(self, detail: str) -> LLMError:
        """Make the LLMError for an answer that came but says nothing; asking again may help."""
        return LLMError(LLMErrorKind.OTHER, self._sentence(_UNREADABLE, detail), retryable=True)

    def not_sent(self, reason: str) -> LLMError:
        """Make the LLMError for an address that may not be reached; nothing of it is told."""
        sentence = self._masked(_NOT_SENT.format(model=self.model, reason=reason))
        return LLMError(LLMErrorKind.OTHER, sentence, retryable=False)

    def not_read(self, reason: str) -> LLMError:
        """Make the LLMError for an answer that was refused; asking again would cost as much."""
        sentence = self._masked(_NOT_READ.format(model=self.model, reason=reason))
        return LLMError(LLMErrorKind.OTHER, sentence, retryable=False)

    def _sentence(self, template: str, detail: str) -> str:
        detail = self._masked(detail).split("Traceback (most recent", 1)[0].strip()
        for _ in range(5):  # litellm's prefixes nest, not deeper than this
            detail = _LIBRARY_PREFIX.sub("", detail)
        detail = " ".join(detail.split())[:_LONGEST_DETAIL]
        sentence = self._masked(template.format(model=self.model, timeout=self.timeout))
        return " ".join(f"{sentence} ({detail})".split()) if detail else f"{sentence}."

    def _masked(self, text: str) -> str:
        for form in {self.api_key, repr(self.api_key)[1:-1]} - {""}:
            text = text.replace(form, _MASK)
        # A provider may say megabytes. What follows is not shown anyhow.
        text = text[:_LONGEST_TOLD]
        # Providers echo a key by its two ends, with stars between them.
        return re.sub(r"(?<![\w.-])[\w.-]{0,80}\*{3,}[\w.*-]{0,80}", _MASK, text)


def _diagnosis(error: Exception) -> tuple[LLMErrorKind, str | None]:
    """Name the failure, and give a sentence of its own where its kind's does not fit."""
    names = _class_names(error)
    status = getattr(error, "status_code", None)
    text = f"{error} {getattr(error, 'body', '')}".lower()
    if _TIMEOUTS & {cls.__name__ for cls in type(error).__mro__}:
        return LLMErrorKind.SERVICE_UNAVAILABLE, _TOO_LATE
    if status == _INTERNAL_STATUS:
        return _diagnosis_of_internal(names, text)
    return _kind_of_refusal(names, text, status), None


def _diagnosis_of_internal(names: Collection[str], text: str) -> tuple[LLMErrorKind, str | None]:
    # litellm gives this status to all that has none: broken answers and broken connections too.
    if "JSONDecodeError" in names or _UNREADABLE_ANSWER.search(text):
        return LLMErrorKind.OTHER, _UNREADABLE
    if not _NO_CONNECTION.isdisjoint(names):
        return LLMErrorKind.SERVICE_UNAVAILABLE, None
    return LLMErrorKind.INTERNAL_SERVER_ERROR, None


def _kind_of_refusal(names: Collection[str], text: str, status: object) -> LLMErrorKind:
    if "ContextWindowExceededError" in names:
        return LLMErrorKind.CONTEXT_WINDOW
    if "ContentPolicyViolationError" in names:
        return LLMErrorKind.CONTENT_POLICY
    if not isinstance(status, int):
        return LLMErrorKind.OTHER
    for statuses, words, kind in _KIND_OF_WORDS:
        if status in statuses and words.search(text):
            return kind
    fallback = (
        LLMErrorKind.INTERNAL_SERVER_ERROR if status > _INTERNAL_STATUS else LLMErrorKind.OTHER
    )
    return _KIND_OF_STATUS.get(status, fallback)


def _class_names(error: BaseException) -> set[str]:
    """Collect the class names of the error and of those it came from."""
    names: set[str] = set()
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None:
            break
        names.update(cls.__name__ for cls in type(link).__mro__)
        link = link.__cause__ or link.__context__
    return names


def _retry_after(error: Exception) -> float | None:
    """Read how many seconds the provider asks us to wait, at most two minutes."""
    response = getattr(error, "response", None)
    for headers in (
        getattr(error, "litellm_response_headers", None),
        getattr(response, "headers", None),
    ):
        value = headers.get("retry-after") if headers else None
        if value:
            return _seconds(str(value))
    return None


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
