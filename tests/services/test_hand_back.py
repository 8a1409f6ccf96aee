"""A process that ends gives its turns back: another one goes on, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from conversations.agent.testing import calls, finish, run
from conversations.models import Conversation, LoopLease
from conversations.services.agent_loops import state_request
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import command, create, read, said, sound, stop
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
TWO = (("execute_bash", {"command": "block"}), ("execute_bash", {"command": "second"}))


def lease_of(conversation: Conversation) -> LoopLease:
    return LoopLease.objects.get(conversation=conversation)


@pytest.mark.parametrize("now", [False, True])
async def test_a_call_of_the_llm_is_given_up_at_once(
    turns: Turns, conversation_of: Make, now: bool
) -> None:
    conversation = await create(conversation_of)()
    ending = turns(finish())
    ending.llm.may_answer.clear()
    turn = asyncio.create_task(ending.run(conversation.pk))
    await until(lambda: len(ending.llm.asked) == 1)
    ending.keeper.wind_up(now=now)
    await turn
    assert (await sync_to_async(lease_of)(conversation)).holder == ""
    await turns(finish(), process="next").run_all(conversation.pk)
    assert (await read(conversation))[-2:] == ["agent finish", "state finished"]
    assert await said(conversation, "error") == []
    await sound(conversation)


async def test_all_actions_of_an_answer_are_carried_out_first(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    ending = turns(calls(*TWO))
    turn = asyncio.create_task(ending.run(conversation.pk))
    await until(ending.runtimes.runtime.began.is_set)
    ending.keeper.wind_up(now=False)
    ending.runtimes.runtime.let_go.set()
    await turn
    assert ending.effects == ["block", "second"]
    after = turns(finish(), process="next")
    await after.run_all(conversation.pk)
    assert after.effects == []
    assert await said(conversation, "error") == []
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_when_time_is_up_a_command_is_interrupted_and_what_waits_is_not_executed(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    ending = turns(calls(*TWO))
    turn = asyncio.create_task(ending.run(conversation.pk))
    await until(ending.runtimes.runtime.began.is_set)
    ending.keeper.wind_up(now=False)
    ending.keeper.wind_up(now=True)
    await turn
    assert ending.effects == ["block"]
    after = turns(finish(), process="next")
    await after.run_all(conversation.pk)
    [skipped] = await said(conversation, "error")
    assert skipped.startswith("This action was not executed: the process ended")
    assert (await read(conversation)).count("agent<run") == 1
    results = [m["content"] for m in after.llm.asked[0] if m["role"] == "tool"]
    assert len(results) == 2
    assert "shut down" in ending.runtimes.runtime.interrupted_by
    await sound(conversation)


async def test_a_users_command_that_waits_is_left_to_the_next_process(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)("")
    await command(conversation=conversation, command="block")
    await command(conversation=conversation, command="later")
    ending = turns()
    turn = asyncio.create_task(ending.run(conversation.pk))
    await until(ending.runtimes.runtime.began.is_set)
    ending.keeper.wind_up(now=True)
    await turn
    after = turns(process="next")
    await after.run_all(conversation.pk)
    assert (ending.effects, after.effects) == (["block"], ["later"])
    assert (await read(conversation))[-1] == "state awaiting_user_input"
    await sound(conversation)


@pytest.mark.parametrize("state", ["stopped", "paused"])
async def test_a_stop_is_carried_out_by_the_process_that_ends(
    turns: Turns, conversation_of: Make, state: str
) -> None:
    conversation = await create(conversation_of)()
    ending = turns(run("block"))
    turn = asyncio.create_task(ending.run(conversation.pk))
    await until(ending.runtimes.runtime.began.is_set)
    ending.keeper.wind_up(now=False)
    await sync_to_async(state_request)(conversation=conversation, state=state)
    await turn
    assert (await read(conversation))[-1] == f"state {state}"
    assert "stopped" in ending.runtimes.runtime.interrupted_by
    await sound(conversation)


async def test_a_turn_that_is_claimed_while_its_process_ends_goes_back(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    ending = turns(finish())
    ending.keeper.wind_up(now=False)
    await ending.run(conversation.pk)
    assert ending.llm.asked == []
    await turns(finish(), process="next").run_all(conversation.pk)
    await sound(conversation)
    await stop(conversation=conversation)
