"""Two runners, one conversation: leases, epochs, and what is left after a runner is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from conversations.agent.testing import calls, finish, run
from conversations.events.codec import user_message
from conversations.exceptions import FencedError, LogMovedError
from conversations.models import Conversation, LoopLease
from conversations.selectors import wanted_conversations
from conversations.services.agent_loops import loop_stop
from conversations.services.event_log import event_append
from conversations.services.leases import (
    lease_claim,
    lease_hand_back,
    lease_release,
    leases_renew,
)
from conversations.services.messages import command_send
from settings_app.models import User
from tests.services.doubles import CountingRuntimeProvider, ScriptedTurns
from tests.services.from_async import create, read, said, send, sound, stop
from tests.services.reading import told
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]

LEASE_SECONDS = 1.5


@pytest.fixture(autouse=True)
def _short_leases(settings: Settings) -> None:
    settings.LEASE_SECONDS = LEASE_SECONDS


def is_wanted(conversation: Conversation) -> bool:
    return conversation.pk in wanted_conversations(limit=10)


async def until_wanted(conversation: Conversation) -> None:
    await until(lambda: is_wanted(conversation))


async def test_a_frozen_runner_that_wakes_up_behind_its_successor_stores_nothing(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    frozen = turns(run("block 1"), run("never 1"), process="frozen")
    turn = asyncio.create_task(frozen.run(conversation.pk))
    await until(frozen.runtimes.runtime.began.is_set)
    frozen.keeper.stop()  # as SIGSTOP does: nothing renews, nothing runs
    await until_wanted(conversation)

    successor = turns(run("two"), finish(), process="successor")
    await successor.run_all(conversation.pk)
    words = await read(conversation)

    frozen.runtimes.runtime.let_go.set()
    await turn
    assert await read(conversation) == words
    assert words[-1] == "state finished"
    assert frozen.effects == ["block 1"]
    assert frozen.runtimes.discarded == [conversation.pk.hex]
    assert successor.effects == ["two"]
    await sound(conversation)


async def test_after_a_crash_the_first_open_action_is_unknown_and_the_next_not_executed(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    both = calls(("execute_bash", {"command": "block"}), ("execute_bash", {"command": "b"}))
    crashed = turns(both, process="crashed")
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until_wanted(conversation)
    successor = turns(finish(), process="successor")
    await successor.run_all(conversation.pk)
    await turn
    unknown, skipped = await said(conversation, "error")
    assert unknown.startswith("The outcome is unknown")
    assert skipped.startswith("This action was not executed")
    assert successor.effects == []
    results = [m["content"] for m in successor.llm.asked[0] if m["role"] == "tool"]
    assert len(results) == 2
    await sound(conversation)


async def test_a_crash_in_a_users_command_settles_it_and_asks_no_llm(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)("")
    await sync_to_async(command_send)(conversation=conversation, command="block")
    await sync_to_async(command_send)(conversation=conversation, command="later")
    crashed = turns(process="crashed")
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until_wanted(conversation)
    successor = turns(process="successor")
    await successor.run_all(conversation.pk)
    await turn
    assert successor.effects == ["later"], "it was never begun, so it is not repeated"
    assert len(await said(conversation, "error")) == 1
    assert (await read(conversation))[-1] == "state awaiting_user_input"
    await sound(conversation)


async def test_a_stop_asked_of_a_runner_that_died_is_carried_out_by_the_next(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    crashed = turns(run("block"), process="crashed")
    turn = asyncio.create_task(crashed.run(conversation.pk))
    await until(crashed.runtimes.runtime.began.is_set)
    crashed.keeper.stop()
    await until_wanted(conversation)
    await stop(conversation=conversation)
    successor = turns(process="successor")
    await successor.run_all(conversation.pk)
    await turn
    assert (await read(conversation))[-2:] == ["environment<error", "state stopped"]
    await sound(conversation)


async def test_a_lease_is_renewed_while_its_turn_runs(turns: Turns, conversation_of: Make) -> None:
    conversation = await create(conversation_of)()
    process = turns(run("block"), finish())
    turn = asyncio.create_task(process.run(conversation.pk))
    await until(process.runtimes.runtime.began.is_set)
    for _ in range(30):
        assert not await sync_to_async(is_wanted)(conversation)
        await asyncio.sleep(LEASE_SECONDS / 10)
    process.runtimes.runtime.let_go.set()
    await turn
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_messages_sent_around_a_release_are_all_answered(
    turns: Turns, conversation_of: Make
) -> None:
    """Send at every instant of a turn's end: whichever side of the release it falls on."""
    conversation = await create(conversation_of)()
    process = turns(*(finish(str(n)) for n in range(60)))
    for number in range(15):
        turn = asyncio.create_task(process.run_all(conversation.pk))
        await asyncio.sleep(number * 0.002)
        await send(conversation=conversation, content=f"message {number}")
        await turn
        await process.run_all(conversation.pk)
        last = process.llm.asked[-1]
        assert any(m["content"] == f"message {number}" for m in last if m["role"] == "user")
        assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


async def test_both_runners_may_try_and_one_gets_the_turn(
    turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    runtimes = CountingRuntimeProvider()
    first = turns(run("one"), finish(), process="first", runtimes=runtimes)
    second = turns(run("one"), finish(), process="second", runtimes=runtimes)
    ran = await asyncio.gather(first.run(conversation.pk), second.run(conversation.pk))
    assert sorted(ran) == [False, True]
    assert runtimes.runtime.effects == ["one"]
    await sound(conversation)


def test_an_append_of_an_older_epoch_stores_nothing(conversation_of: Make) -> None:
    conversation = conversation_of()
    claim = lease_claim(conversation_id=conversation.pk, process="first")
    assert claim is not None
    LoopLease.objects.filter(conversation=conversation).update(lease_expires_at=None, requested=9)
    newer = lease_claim(conversation_id=conversation.pk, process="second")
    assert newer is not None
    assert newer.epoch == claim.epoch + 1
    before = told(conversation)
    with pytest.raises(FencedError):
        event_append(
            conversation_id=conversation.pk, events=[user_message("late")], epoch=claim.epoch
        )
    assert told(conversation) == before
    assert leases_renew([claim]) == set()
    assert not lease_release(claim=claim, served=9)
    assert leases_renew([newer]) == {conversation.pk}


def test_many_leases_are_renewed_at_once_and_a_lost_one_is_not(
    conversation_of: Make, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.MAX_CONCURRENT_CONVERSATIONS = 9
    conversations = [conversation_of() for _ in range(4)]
    claims = [lease_claim(conversation_id=one.pk, process="first") for one in conversations]
    held = [claim for claim in claims if claim is not None]
    assert len(held) == 4
    ran_out = timezone.now() - timedelta(seconds=1)
    LoopLease.objects.update(lease_expires_at=ran_out)
    with django_assert_num_queries(1):
        assert leases_renew(held) == {one.pk for one in conversations}
    assert LoopLease.objects.live().count() == 4

    LoopLease.objects.update(lease_expires_at=ran_out)
    successor = lease_claim(conversation_id=conversations[1].pk, process="second")
    assert successor is not None
    assert leases_renew(held) == {conversations[n].pk for n in (0, 2, 3)}


def test_an_append_on_a_log_that_moved_stores_nothing(conversation_of: Make) -> None:
    conversation = conversation_of()
    with pytest.raises(LogMovedError):
        event_append(conversation_id=conversation.pk, events=[user_message("x")], only_if_last=0)
    assert len(told(conversation)) == 2


def test_a_user_runs_so_many_turns_at_once_and_the_others_wait(
    conversation_of: Make, owner: User, settings: Settings
) -> None:
    settings.LEASE_SECONDS = 60
    settings.MAX_CONCURRENT_CONVERSATIONS = 2
    made = [conversation_of() for _ in range(3)]
    claims = [lease_claim(conversation_id=c.pk, process="p") for c in made]
    assert [claim is not None for claim in claims] == [True, True, False]
    assert wanted_conversations(limit=10) == []
    assert claims[0] is not None
    assert lease_release(claim=claims[0], served=1)
    assert wanted_conversations(limit=10) == [made[2].pk]
    assert lease_claim(conversation_id=made[2].pk, process="p") is not None


def test_a_stop_that_a_dead_runner_left_needs_no_free_slot(
    conversation_of: Make, settings: Settings
) -> None:
    settings.MAX_CONCURRENT_CONVERSATIONS = 1
    dead, other = conversation_of(), conversation_of()
    assert lease_claim(conversation_id=dead.pk, process="p") is not None
    LoopLease.objects.filter(conversation=dead).update(lease_expires_at="2020-01-01T00:00Z")
    settings.LEASE_SECONDS = 60
    assert lease_claim(conversation_id=other.pk, process="p") is not None
    assert lease_claim(conversation_id=dead.pk, process="p") is None
    loop_stop(conversation=dead)
    assert wanted_conversations(limit=10) == [dead.pk]
    claim = lease_claim(conversation_id=dead.pk, process="p")
    assert claim is not None
    assert claim.stop_pending


def test_a_lease_that_was_handed_back_is_not_renewed(conversation_of: Make) -> None:
    conversation = conversation_of()
    claim = lease_claim(conversation_id=conversation.pk, process="p")
    assert claim is not None
    lease_hand_back(claim=claim)
    assert leases_renew([claim]) == set()
    assert is_wanted(conversation)
