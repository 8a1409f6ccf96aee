"""What the web client asks before it shows anything (CONTRACT section 4, Options). No tables."""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from django.conf import settings
from drf_spectacular.utils import extend_schema
from pydantic_core import from_json
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.api.answers import NAMES, ConfigSerializer
from settings_app.models import DEFAULT_AGENT

_PRICES: Final = "litellm/model_prices_and_context_window_backup.json"
#: What a model has to be for an agent to work with it; the table has image makers and such, too.
_CHATS: Final = frozenset({"chat", "completion", "responses", None})
#: An entry that explains the table's fields.
_SAMPLE: Final = "sample_spec"


@cache
def model_names() -> tuple[str, ...]:
    """Give the names of the models in the LLM library's own table that an agent can work with."""
    # As a file: to import the library takes 5 s, and this is asked at every first page.
    table = Path(str(distribution("litellm").locate_file(_PRICES)))
    prices = from_json(table.read_bytes())  # twice as fast as json
    names = (name for name, facts in prices.items() if facts.get("mode") in _CHATS)
    return tuple(sorted(name for name in names if name != _SAMPLE))


class ConfigView(APIView):
    """GET /api/options/config."""

    @extend_schema(responses=ConfigSerializer)
    def get(self, request: Request) -> Response:
        """Say that this is a server without billing, and without anybody who watches its users."""
        return Response(
            {
                "APP_MODE": "oss",
                "GITHUB_CLIENT_ID": "",
                "POSTHOG_CLIENT_KEY": "",
                "FEATURE_FLAGS": {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
            }
        )


class ModelsView(APIView):
    """GET /api/options/models."""

    @extend_schema(responses=NAMES)
    def get(self, request: Request) -> Response:
        """Give the names of all models that the LLM library knows, and of this deployment's own."""
        return Response(sorted({settings.LLM_MODEL, *model_names()}))


class AgentsView(APIView):
    """GET /api/options/agents."""

    @extend_schema(responses=NAMES)
    def get(self, request: Request) -> Response:
        """Give the one agent that there is."""
        return Response([DEFAULT_AGENT])


class SecurityAnalyzersView(APIView):
    """GET /api/options/security-analyzers."""

    @extend_schema(responses=NAMES)
    def get(self, request: Request) -> Response:
        """Give none: to offer one that does not work would be worse."""
        return Response([])
