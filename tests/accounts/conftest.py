"""A server on which people log in, with two users, a colleague of the staff, and one who left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accounts.people import People
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import CALM, Server

OPERATORS_OWN = "what-only-the-operator-may-send"
#: From where tests ask: what they say of others is believed.
PROXY = "127.0.0.1"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("accounts")
    server = Server(
        folder,
        entry=CALM,
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="127.0.0.1,handrail.example",
        TRUSTED_PROXIES=f"{PROXY}, 10.9.0.0/16",
        REQUEST_THROTTLE="off",
        LLM_BASE_URL_ALLOW="127.0.0.1",
        MAX_CONCURRENT_CONVERSATIONS="50",
        # What litellm and the SDKs would send wherever a user's base URL leads.
        WATSONX_TOKEN=OPERATORS_OWN,
        OPENAI_CUSTOM_HEADERS=f"X-Operator: {OPERATORS_OWN}",
    )
    server.start()
    yield People(server, llm)
    server.stop()
