"""Which LLM a user's settings name, and what is counted of its answers. It knows no turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

from conversations.agent.litellm_client import LiteLLMClient
from conversations.agent.llm import LLM, LLMError, LLMResponse
from conversations.telemetry import Telemetry, telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from settings_app.selectors import EffectiveSettings


class CountedLLM:
    """Another LLM whose answers and failures are counted; a call that is cancelled is neither."""

    def __init__(self, llm: LLM, *, model: str, counts: Telemetry = telemetry) -> None:
        self._llm = llm
        self._model = model
        self._counts = counts

    async def complete(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]
    ) -> LLMResponse:
        """Give the other's answer. Raises LLMError only."""
        began = time.perf_counter()
        try:
            response = await self._llm.complete(messages, tools)
        except LLMError as error:
            self._counts.llm_failed(model=self._model, kind=error.kind.name.lower())
            raise
        self._counts.llm_answered(
            model=self._model,
            seconds=time.perf_counter() - began,
            prompt_tokens=response.usage.prompt_tokens,
            completion_tokens=response.usage.completion_tokens,
            cost=response.usage.cost,
        )
        return response


def llm_for(user: EffectiveSettings) -> LLM:
    """Give the LLM of a user's settings."""
    client = LiteLLMClient(
        model=user.llm_model,
        api_key=user.llm_api_key,
        base_url=user.llm_base_url,
        outbound=settings.OUTBOUND_POLICY,
    )
    return CountedLLM(client, model=user.llm_model)
