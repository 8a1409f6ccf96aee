"""Libraries that wait for the network where everybody would wait with them: they don't get to."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest

from conversations.agent.litellm_client import LiteLLMClient
from conversations.agent.llm import LLMError, LLMErrorKind
from outbound.policy import OutboundPolicy, allowed_parse
from tests.provider_calls import HELLO, KEY, TOOLS, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, text

# litellm's form of Ollama's answers warns where it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly:UserWarning")

LOOPBACK = OutboundPolicy(allowed=[allowed_parse("127.0.0.1")])


@pytest.fixture(autouse=True)
async def provider() -> AsyncIterator[ScriptedLLMServer]:
    async with scripted_provider() as server:
        yield server


class Ollama(ThreadingHTTPServer):
    """Generates at once; asked for anything else, it says nothing until the test ends."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), _OllamaHandler)


class _OllamaHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast(Ollama, self.server)
        server.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/api/generate":
            server.ended.wait(100)
        answer = b'{"response": "hi", "done": true, "eval_count": 7, "prompt_eval_count": 1}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Requests are recorded, not logged."""


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    with Ollama() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.ended.set()
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("policy", [None, LOOPBACK])
async def test_what_a_library_asks_aside_is_not_waited_for(
    ollama: Ollama, policy: OutboundPolicy | None
) -> None:
    """To know a model's price, litellm asks an Ollama server about it, on the event loop."""
    url = f"http://127.0.0.1:{ollama.server_port}"
    llm = LiteLLMClient(model="ollama/m", api_key=KEY, base_url=url, timeout=60, outbound=policy)
    # It asks when the answer was given, too: then it would be the second call that waits.
    for _ in range(2):
        assert (await llm.complete(HELLO, TOOLS)).usage.completion_tokens == 7
    if policy is not None:  # an operator's own may wait in a thread
        assert ollama.asked == ["/api/generate"] * 2


async def test_a_library_that_takes_a_thread_to_wait_in_is_refused_to_users(
    provider: ScriptedLLMServer,
) -> None:
    provider.script([text("hi")])
    for policy in (LOOPBACK, None):
        llm = LiteLLMClient(
            model="maritalk/m", api_key=KEY, base_url=provider.base_url, outbound=policy
        )
        if policy is None:  # the operator's own
            assert (await llm.complete(HELLO, TOOLS)).content == "hi"
            continue
        with pytest.raises(LLMError, match="would hold up this server") as raised:
            await llm.complete(HELLO, TOOLS)
        assert (raised.value.kind, raised.value.retryable) == (LLMErrorKind.OTHER, False)
        assert provider.requests == []


@pytest.mark.parametrize("model", ["oobabooga", "huggingface", "openai"])
async def test_an_address_in_a_models_name_is_not_asked(
    provider: ScriptedLLMServer, model: str
) -> None:
    llm = LiteLLMClient(
        model=f"{model}/{provider.base_url}", api_key=KEY, base_url=None, outbound=LOOPBACK
    )
    with pytest.raises(LLMError, match="was not sent: the model's name holds an address"):
        await llm.complete(HELLO, [])
    assert provider.requests == []


@pytest.mark.parametrize("model", ["aiohttp_openai/m", "github_copilot/m", "chatgpt/m"])
async def test_providers_that_cannot_be_watched_are_refused_to_users(
    provider: ScriptedLLMServer, model: str
) -> None:
    llm = LiteLLMClient(model=model, api_key=KEY, base_url=provider.base_url, outbound=LOOPBACK)
    with pytest.raises(LLMError, match="was not sent: this provider is not for servers of many"):
        await llm.complete(HELLO, [])
    assert provider.requests == []
