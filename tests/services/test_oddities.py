"""Turns that meet what nobody planned: broken tools, odd answers, stops in odd moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asgiref.sync import sync_to_async

from conversations.agent.llm import LLMError, LLMErrorKind
from conversations.agent.testing import calls, finish
from conversations.models import Conversation
from conversations.services.conversations import conversation_create
from settings_app.models import User
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import command, create, read, resume, said, send, sound, stop
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]


BUSY = LLMError(LLMErrorKind.SERVICE_UNAVAILABLE, "busy", retryable=True)
DENIED = LLMError(LLMErrorKind.AUTHENTICATION, "wrong key", retryable=False)
LIMITED = LLMError(LLMErrorKind.RATE_LIMIT, "slow down", retryable=True)


async def test_an_error_of_ours_after_an_effect_leaves_its_outcome_unknown(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    both = calls(("execute_bash", {"command": "explode"}), ("execute_bash", {"command": "b"}))
    process = turns(both, finish())
    await process.run_all(conversation.pk)
    unknown, skipped, internal = await said(conversation, "error")
    assert unknown.startswith("The outcome is unknown")
    assert skipped.startswith("This action was not executed")
    assert "internal error" in internal
    assert (await read(conversation))[-1] == "state error"
    await sound(conversation)


async def test_a_refused_call_after_a_finish_is_read_by_the_llm(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    process = turns(finish(), calls(("teleport", {})), finish("really"))
    await process.run_all(conversation.pk)
    await send(conversation=conversation, content="Once more.")
    await process.run_all(conversation.pk)
    assert len(process.llm.asked) == 3
    assert "There is no tool" in process.llm.asked[2][-1]["content"]
    await sound(conversation)


async def test_what_providers_refuse_to_read_again_is_not_sent_to_them(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    odd = calls(("functions.execute bash", {}), ("", "{"), ("execute_bash", '{"timeout": 1e999}'))
    process = turns(odd, finish())
    await process.run_all(conversation.pk)
    answer = process.llm.asked[1][2]
    names = [call["function"]["name"] for call in answer["tool_calls"]]
    assert names == ["functions_execute_bash", "unknown", "execute_bash"]
    assert answer["content"] is None
    assert (await read(conversation))[-1] == "state finished"
    await send(conversation=conversation, content="", image_urls=["data:image/svg+xml;base64,A"])
    await turns(finish()).run_all(conversation.pk)
    await sound(conversation)


async def test_a_stopped_replay_stays_stopped_when_the_user_types_a_command(
    turns: Turns, owner: User
) -> None:
    steps = [{"command": c} for c in ("block", "two")]
    recording = [
        {"source": "agent", "action": "run", "args": args, "tool_call_metadata": None}
        for args in steps
    ]
    conversation = await sync_to_async(conversation_create)(owner=owner, recording=recording)
    process = turns(finish())
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(process.runtimes.runtime.began.is_set)
    await stop(conversation=conversation)
    await turn
    await command(conversation=conversation, command="ls")
    await process.run_all(conversation.pk)
    assert process.effects == ["block", "ls"]
    assert (await read(conversation))[-1] == "state stopped"
    await resume(conversation=conversation)
    await process.run_all(conversation.pk)
    assert process.effects == ["block", "ls", "two"]
    await sound(conversation)


async def test_a_stop_in_the_instant_of_a_rest_is_carried_out(
    turns: Turns, conversation_of: Make
) -> None:
    """Ask for a stop at every instant of a turn's end; whatever comes first, it ends stopped."""
    for number in range(12):
        conversation = await create(conversation_of)()
        process = turns(finish(), finish())
        turn = asyncio.create_task(process.run_all(conversation.pk))
        await asyncio.sleep(number * 0.004)
        await stop(conversation=conversation)
        await turn
        await process.run_all(conversation.pk)
        assert (await read(conversation))[-1] == "state stopped"
        await sound(conversation)
