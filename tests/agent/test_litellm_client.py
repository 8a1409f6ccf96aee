"""The real litellm against a scripted provider on loopback: what it answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conversations.agent.llm import LLMError
from tests.provider_calls import HELLO, KEY, TOOLS, answer, client_of, scripted_provider
from tests.scripted_llm import ScriptedLLMServer, calls, create, finish, gated, raw_call, run, text

# litellm dumps an answer's arguments before it turns them into text.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")


@pytest.fixture(autouse=True)
async def provider() -> AsyncIterator[ScriptedLLMServer]:
    async with scripted_provider() as server:
        yield server


async def test_a_plain_answer_is_text_with_usage(provider: ScriptedLLMServer) -> None:
    response = await answer(provider, text("good morning"))

    assert response.content == "good morning"
    assert response.tool_calls == ()
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (100, 10)
    assert response.response_id == response.raw["id"]


async def test_the_request_carries_key_model_messages_and_tools(
    provider: ScriptedLLMServer,
) -> None:
    await answer(provider, text("yes"))

    [request] = provider.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body["model"] == "scripted"
    assert request.body["messages"] == HELLO
    assert request.body["tools"] == TOOLS
    assert not request.body.get("stream")


async def test_without_tools_none_are_sent(provider: ScriptedLLMServer) -> None:
    response = await client_of(provider).complete(HELLO, [])

    assert response.content == "A fine title"
    assert "tools" not in provider.requests[0].body


async def test_without_a_key_the_deployments_own_is_not_sent_to_a_named_server(
    provider: ScriptedLLMServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-deployment")

    await answer(provider, text("yes"), api_key=None)

    assert "deployment" not in provider.requests[0].headers["authorization"]


async def test_a_tool_call_is_recorded_in_the_form_of_trajectories(
    provider: ScriptedLLMServer,
) -> None:
    response = await answer(provider, run("ls"))

    [call] = response.tool_calls
    assert call.name == "execute_bash"
    assert json.loads(call.arguments) == {"command": "ls"}
    assert response.content == ""
    raw = json.loads(json.dumps(response.raw))
    assert raw["object"] == "chat.completion"
    assert raw["model"] == "scripted"
    assert raw["usage"]["total_tokens"] == 110
    assert raw["choices"] == [
        {
            "finish_reason": "tool_calls",
            "index": 0,
            "message": {
                "content": "",
                "role": "assistant",
                "tool_calls": [
                    {
                        "index": 0,
                        "function": {"arguments": call.arguments, "name": "execute_bash"},
                        "id": call.call_id,
                        "type": "function",
                    }
                ],
                "function_call": None,
            },
        }
    ]


async def test_several_tool_calls_keep_their_order(provider: ScriptedLLMServer) -> None:
    step = calls(create("/workspace/a", "1"), run("cat a"), finish("done"), content="Two things.")
    response = await answer(provider, step)

    assert response.content == "Two things."
    names = [call.name for call in response.tool_calls]
    assert names == ["str_replace_editor", "execute_bash", "finish"]
    assert len({call.call_id for call in response.tool_calls}) == 3


@pytest.mark.parametrize(
    ("sent", "received"),
    [('{"command": "l', '{"command": "l'), ({"a": 1}, '{"a": 1}'), ("", ""), ("[]", "[]")],
)
async def test_arguments_are_handed_over_as_text_however_broken(
    provider: ScriptedLLMServer, sent: object, received: str
) -> None:
    response = await answer(provider, raw_call("no_such_tool", sent))

    [call] = response.tool_calls
    assert (call.name, call.arguments) == ("no_such_tool", received)


async def test_repeated_and_empty_call_ids_become_unique(provider: ScriptedLLMServer) -> None:
    first = await answer(provider, raw_call("a", "{}", call_id="call_0"))
    said = first.raw["choices"][0]["message"]
    provider.script(
        [calls(*(raw_call("b", "{}", call_id=call_id) for call_id in ("call_0", "", "x", "x")))]
    )

    second = await client_of(provider).complete([*HELLO, said], TOOLS)

    ids = [call.call_id for call in (*first.tool_calls, *second.tool_calls)]
    assert ids[0] == "call_0"
    assert ids[3] == "x"
    assert all(ids)
    assert len(set(ids)) == 5


@pytest.mark.parametrize("given", ["chatcmpl-always-the-same", "", None])
async def test_response_ids_are_unique_whatever_the_provider_sends(
    provider: ScriptedLLMServer, given: str | None
) -> None:
    responses = [await answer(provider, text("yes", id=given)) for _ in range(3)]

    ids = {response.response_id for response in responses}
    assert len(ids) == 3
    assert all(ids)


async def test_a_known_models_answer_has_a_price(provider: ScriptedLLMServer) -> None:
    response = await answer(provider, text("yes"), model="openai/gpt-4o-mini")

    assert response.usage.cost is not None
    assert 0 < response.usage.cost < 0.001


async def test_an_unknown_models_price_is_unknown_not_zero(provider: ScriptedLLMServer) -> None:
    response = await answer(provider, text("yes"))

    assert response.usage.cost is None


async def test_cached_tokens_are_counted(provider: ScriptedLLMServer) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 40},
    }
    response = await answer(provider, text("yes", usage=usage))

    assert response.usage.cache_read_tokens == 40


async def test_an_answer_without_usage_counts_nothing(provider: ScriptedLLMServer) -> None:
    response = await answer(provider, text("yes", usage=None))

    assert response.usage.prompt_tokens == 0


async def test_cancelling_ends_the_call_at_once(provider: ScriptedLLMServer) -> None:
    never = threading.Event()
    provider.script([gated(text("too late"), never)])
    call = asyncio.create_task(client_of(provider).complete(HELLO, TOOLS))
    await asyncio.to_thread(provider.wait_for, 1)

    call.cancel()
    done, _ = await asyncio.wait([call], timeout=5)

    assert done == {call}
    assert call.cancelled()


async def test_more_calls_run_side_by_side_than_a_client_has_connections_by_default(
    provider: ScriptedLLMServer,
) -> None:
    provider.script([text(str(number)) for number in range(110)])
    llm = client_of(provider)
    with provider.hold():
        waiting = [asyncio.create_task(llm.complete(HELLO, TOOLS)) for _ in range(110)]
        await asyncio.to_thread(provider.wait_for, 110)
    answers = await asyncio.gather(*waiting)

    assert {response.content for response in answers} == {str(number) for number in range(110)}


async def test_a_marker_chooses_the_script_and_an_exhausted_one_says_so(
    provider: ScriptedLLMServer,
) -> None:
    provider.script([text("for anyone")])
    provider.script([text("for the blue task")], marker="blue")
    llm = client_of(provider)
    blue = [{"role": "user", "content": "paint it blue"}]

    assert (await llm.complete(blue, TOOLS)).content == "for the blue task"
    assert (await llm.complete(HELLO, TOOLS)).content == "for anyone"
    with pytest.raises(LLMError, match="'blue' exhausted after 1 requests") as raised:
        await llm.complete(blue, TOOLS)
    assert not raised.value.retryable


async def test_a_function_finds_its_step_in_the_request(provider: ScriptedLLMServer) -> None:
    provider.script(lambda request: text(f"{len(request['messages'])} messages"))
    llm = client_of(provider)

    assert (await llm.complete(HELLO * 2, TOOLS)).content == "2 messages"
    assert (await llm.complete(HELLO * 2, TOOLS)).content == "2 messages"


_FIRST_LOAD = """
import sys, threading
reached = []
network = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}
sys.addaudithook(lambda event, arguments: event in network and reached.append(arguments))
from conversations.agent import litellm_client
assert "litellm" not in sys.modules
threads = [threading.Thread(target=litellm_client.warm_up) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join(60) for thread in threads]
assert sys.modules["litellm"].model_cost
assert reached == [], reached
"""


def test_the_import_is_lazy_and_loading_is_silent_and_reaches_no_network() -> None:
    done = subprocess.run(  # noqa: S603  # the program stands above
        [sys.executable, "-W", "error::ResourceWarning", "-c", _FIRST_LOAD],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
