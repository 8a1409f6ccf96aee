"""Confirmation mode: an action waits for the user's word, and no word is acted on twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations.agent.limits import LoopConfig
from conversations.agent.testing import calls, finish, run
from conversations.models import Conversation
from conversations.selectors import wanted_conversations
from conversations.services.messages import command_send, message_send
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create, read, request, said, sound
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]

ASK_FIRST = LoopConfig(retry_waits=(), confirmation_mode=True)


async def pending(turns: Turns, conversation_of: Make) -> tuple[Conversation, ScriptedTurns]:
    conversation = await create(conversation_of)()
    both = calls(("execute_bash", {"command": "a"}), ("execute_bash", {"command": "b"}))
    process = turns(both, finish(), config=ASK_FIRST)
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-3:] == [
        "agent run",
        "agent run",
        "state awaiting_user_confirmation",
    ]
    assert process.effects == []
    return conversation, process


async def test_a_yes_executes_the_pending_action_and_asks_again_for_the_next(
    turns: Turns, conversation_of: Make
) -> None:
    conversation, process = await pending(turns, conversation_of)
    await request(conversation=conversation, state="user_confirmed")
    await process.run_all(conversation.pk)
    assert process.effects == ["a"]
    assert (await read(conversation))[-1] == "state awaiting_user_confirmation"
    await request(conversation=conversation, state="user_confirmed")
    await process.run_all(conversation.pk)
    assert process.effects == ["a", "b"]
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_a_no_settles_the_pending_action_and_waits_for_the_user(
    turns: Turns, conversation_of: Make
) -> None:
    conversation, process = await pending(turns, conversation_of)
    await request(conversation=conversation, state="user_rejected")
    await process.run_all(conversation.pk)
    assert process.effects == []
    assert (await read(conversation))[-3:] == [
        "environment<user_rejected",
        "environment<user_rejected",
        "state awaiting_user_input",
    ]
    await sound(conversation)


async def test_a_message_is_a_no_with_a_new_task(turns: Turns, conversation_of: Make) -> None:
    conversation, process = await pending(turns, conversation_of)
    await sync_to_async(message_send)(conversation=conversation, content="Not that way.")
    await process.run_all(conversation.pk)
    assert process.effects == []
    assert (await read(conversation))[-1] == "state finished"
    chat = process.llm.asked[-1]
    assert [m["role"] for m in chat][-3:] == ["tool", "tool", "user"]
    await sound(conversation)


async def test_a_stop_settles_the_pending_action(turns: Turns, conversation_of: Make) -> None:
    conversation, process = await pending(turns, conversation_of)
    await request(conversation=conversation, state="stopped")
    await process.run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state stopped"
    await sound(conversation)


async def test_a_command_of_the_user_leaves_the_pending_action_pending(
    turns: Turns, conversation_of: Make
) -> None:
    conversation, process = await pending(turns, conversation_of)
    await sync_to_async(command_send)(conversation=conversation, command="ls")
    await process.run_all(conversation.pk)
    assert process.effects == ["ls"]
    assert (await read(conversation))[-1] == "state awaiting_user_confirmation"
    await request(conversation=conversation, state="user_confirmed")
    await process.run_all(conversation.pk)
    assert process.effects == ["ls", "a"]


async def test_a_crash_after_a_yes_repeats_no_effect(
    turns: Turns, conversation_of: Make, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 1.5
    conversation = await create(conversation_of)()
    crashed = turns(run("block"), config=ASK_FIRST, process="crashed")
    await crashed.run_all(conversation.pk)
    await request(conversation=conversation, state="user_confirmed")
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until(lambda: conversation.pk in wanted_conversations(limit=10))
    successor = turns(finish(), config=ASK_FIRST, process="successor")
    await successor.run_all(conversation.pk)
    await turn
    assert successor.effects == []
    assert (await said(conversation, "error"))[0].startswith("The outcome is unknown")
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)
