"""One turn, from a stored message to rest, with the database's real rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations.agent.limits import LoopConfig
from conversations.agent.llm import LLMError, LLMErrorKind, LLMResponse
from conversations.agent.testing import calls, finish, run, text
from conversations.events.states import AgentState
from conversations.models import Conversation
from conversations.services.agent_loops import loop_stop
from conversations.services.messages import message_send
from conversations.services.transactions import in_db_thread
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import (
    command,
    create,
    read,
    request,
    resume,
    said,
    send,
    shown,
    sound,
    stop,
)
from tests.waiting import until, until_true

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]


BUSY = LLMError(LLMErrorKind.SERVICE_UNAVAILABLE, "busy", retryable=True)
DENIED = LLMError(LLMErrorKind.AUTHENTICATION, "wrong key", retryable=False)
LIMITED = LLMError(LLMErrorKind.RATE_LIMIT, "slow down", retryable=True)


async def test_a_task_runs_to_its_finish(turns: Turns, conversation_of: Make) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("one"), calls(("think", {"thought": "hm"})), finish())
    assert await shown(conversation.pk) == "RUNNING"
    assert await process.run_all(conversation.pk) == 1
    assert await read(conversation) == [
        "user message",
        "state loading",
        "state running",
        "agent run",
        "agent<run",
        "agent think",
        "agent<think",
        "agent finish",
        "state finished",
    ]
    assert process.effects == ["one"]
    await sound(conversation)


async def test_several_calls_of_one_answer_are_carried_out_in_order(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    both = calls(("execute_bash", {"command": "a"}), ("execute_bash", {"command": "b"}))
    process = turns(both, finish())
    await process.run_all(conversation.pk)
    assert process.effects == ["a", "b"]
    assert (await read(conversation))[3:7] == ["agent run", "agent run", "agent<run", "agent<run"]
    results = [m for m in process.llm.asked[1] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in results] == [c.call_id for c in both.tool_calls]
    await sound(conversation)


async def test_a_wrong_call_comes_back_to_the_llm_beside_a_right_one(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    answer = calls(
        ("teleport", {}), ("execute_bash", "{broken"), ("execute_bash", {"command": "a"})
    )
    process = turns(answer, finish())
    await process.run_all(conversation.pk)
    assert process.effects == ["a"]
    results = [m["content"] for m in process.llm.asked[1] if m["role"] == "tool"]
    assert "There is no tool 'teleport'" in results[0]
    assert "not valid JSON" in results[1]
    assert results[2].startswith("ok")
    await sound(conversation)


async def test_a_plain_answer_waits_for_the_user_and_goes_on_with_him(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(text("Which one?"), finish())
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-2:] == ["agent message", "state awaiting_user_input"]
    await send(conversation=conversation, content="The second.")
    assert await process.run_all(conversation.pk) == 1
    assert (await read(conversation))[-4:] == [
        "user message",
        "state running",
        "agent finish",
        "state finished",
    ]
    assert process.llm.asked[1][-1] == {"role": "user", "content": "The second."}
    await sound(conversation)


async def test_a_message_during_the_llm_call_is_answered_after_it(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(finish("too early"), finish("now"))
    process.llm.may_answer.clear()
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(lambda: bool(process.llm.asked))
    await send(conversation=conversation, content="Wait, one more thing.")
    process.llm.may_answer.set()
    await turn
    await process.run_all(conversation.pk)
    roles = [m["role"] for m in process.llm.asked[1]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert process.llm.asked[1][-1]["content"] == "Wait, one more thing."
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_answers_of_a_server_that_gives_all_the_same_id_are_told_apart(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    same = [run("one"), run("two"), finish()]
    process = turns(*(replace(a, response_id="x", raw={**a.raw, "id": "x"}) for a in same))
    await process.run_all(conversation.pk)
    roles = [m["role"] for m in process.llm.asked[2]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]


async def test_a_failing_provider_is_asked_again_and_then_the_turn_ends_with_the_reason(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(BUSY, finish())
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"

    failing = await create(conversation_of)()
    process = turns(BUSY, BUSY, BUSY)
    await process.run_all(failing.pk)
    assert (await read(failing))[-2:] == ["environment<error", "state error"]
    assert await said(failing, "error") == ["busy"]
    await sound(failing)


async def test_a_wrong_key_ends_the_turn_at_once_and_a_resume_tries_again(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(DENIED, finish())
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state error"
    await resume(conversation=conversation)
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_a_rate_limit_has_its_own_state(turns: Turns, conversation_of: Make) -> None:
    conversation = await create(conversation_of)()
    await turns(LIMITED, LIMITED, LIMITED).run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state rate_limited"
    await sound(conversation)


async def test_the_iteration_limit_pauses_and_a_message_starts_the_count_anew(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("1"), run("2"), run("3"), finish(), config=LoopConfig(max_iterations=2))
    await process.run_all(conversation.pk)
    assert process.effects == ["1", "2"]
    assert (await read(conversation))[-2:] == ["environment<error", "state paused"]
    assert (await said(conversation, "error"))[0].startswith("Agent reached maximum of 2 steps")
    await send(conversation=conversation, content="Go on.")
    await process.run_all(conversation.pk)
    assert process.effects == ["1", "2", "3"]
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


@pytest.mark.parametrize(
    "again",
    [
        [calls(("execute_bash", {"command": "same"}), content="Once more."), run("same")] * 4,
        [run("one"), run("two")] * 6,
        [calls(("no_such_tool", {}))] * 8,
        [calls(("think", {"thought": "a"}), ("think", {"thought": "b"}))] * 8,
    ],
)
async def test_an_agent_that_repeats_itself_is_paused_and_a_message_helps_it_on(
    turns: Turns, conversation_of: Make, again: list[LLMResponse]
) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("before"), *again, *again[:2], finish())
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-2:] == ["environment<error", "state paused"]
    assert (await said(conversation, "error"))[-1].startswith("Agent repeats itself")
    await send(conversation=conversation, content="Try another way.")
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


@pytest.mark.parametrize(
    "steps",
    [
        [*[run("same")] * 7, run("other"), *[run("same")] * 7],
        # All refused, each for itself; and all in one answer.
        [calls(("no_such_tool", {"number": number})) for number in range(9)],
        [calls(*[("no_such_tool", {})] * 9)],
        [calls(*[("think", {"thought": str(number)}) for number in range(70)])] * 2,
    ],
)
async def test_what_differs_is_no_repetition(
    turns: Turns, conversation_of: Make, steps: list[LLMResponse]
) -> None:
    conversation = await create(conversation_of)()
    await turns(*steps, finish()).run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"


async def test_a_stop_interrupts_the_command_and_settles_what_waits_behind_it(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    both = calls(("execute_bash", {"command": "block"}), ("execute_bash", {"command": "never"}))
    process = turns(both, finish())
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(process.runtimes.runtime.began.is_set)
    await stop(conversation=conversation)
    await turn
    assert process.effects == ["block"]
    assert (await read(conversation))[-3:] == ["agent<run", "environment<error", "state stopped"]
    await sound(conversation)


async def test_a_pause_during_an_llm_call_leaves_the_call(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(finish(), finish())
    process.llm.may_answer.clear()
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(lambda: bool(process.llm.asked))
    await stop(conversation=conversation, state=AgentState.PAUSED)
    await turn
    assert (await read(conversation))[-1] == "state paused"
    await sound(conversation)
    process.llm.may_answer.set()
    await resume(conversation=conversation)
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"


async def test_a_message_right_after_a_stop_is_answered(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("block"), finish("again"))
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(process.runtimes.runtime.began.is_set)

    @sync_to_async
    def stop_and_say() -> None:
        loop_stop(conversation=conversation)
        message_send(conversation=conversation, content="Do this instead.")

    await stop_and_say()
    await turn
    await process.run_all(conversation.pk)
    words = await read(conversation)
    assert "state stopped" in words
    assert words[-1] == "state finished"
    assert process.llm.asked[-1][-1]["content"] == "Do this instead."
    await sound(conversation)


async def test_a_command_of_the_user_runs_without_the_llm_and_the_state_comes_back(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(finish())
    await process.run_all(conversation.pk)
    await command(conversation=conversation, command="ls")
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-4:] == [
        "user run",
        "state running",
        "user<run",
        "state finished",
    ]
    assert process.effects == ["ls"]
    await sound(conversation)


async def test_a_command_typed_while_the_agent_works_runs_between_two_steps(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("block"), run("after"), finish())
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(process.runtimes.runtime.began.is_set)
    await command(conversation=conversation, command="mine")
    process.runtimes.runtime.let_go.set()
    await turn
    await process.run_all(conversation.pk)
    assert process.effects == ["block", "mine", "after"]
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_secrets_are_masked_wherever_they_come_up(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)("My key is sk-abcdef.")
    process = turns(run("echo sk-abcdef"), finish("It was sk-abcdef"))
    await process.run_all(conversation.pk)

    @sync_to_async
    def stored() -> str:
        return str(list(conversation.eventrecord_set.values_list("payload", flat=True)))

    assert "sk-abcdef" not in await stored()
    assert "**********" in await stored()
    await request(conversation=conversation, state="stopped")
    await sound(conversation)


async def test_a_turn_that_waited_for_its_claim_has_a_whole_lease(
    turns: Turns, conversation_of: Make, settings: Settings
) -> None:
    """Where many turns begin at once, each waits for those before it."""
    settings.LEASE_SECONDS = 0.5
    conversation = await create(conversation_of)()
    process = turns(run("one"), finish(), keeper_runs=False)
    begun = time.monotonic()

    def be_busy() -> None:
        until_true(lambda: time.monotonic() > begun + 0.5)
        settings.LEASE_SECONDS = 60

    before = asyncio.create_task(in_db_thread(be_busy))
    assert await process.run_all(conversation.pk) == 1
    await before
    assert (await read(conversation))[-1] == "state finished"
    assert process.effects == ["one"]
    await sound(conversation)
