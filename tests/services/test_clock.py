"""The clock of the database (on SQLite: of the machine) is set by an hour, forth or back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db.models import F
from pytest_django import Settings

from conversations.agent.testing import finish, run
from conversations.models import Chore, Conversation, LoopLease
from conversations.services.chores import chore_claim
from conversations.services.leases import lease_claim
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create, read, sound
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
AN_HOUR = timedelta(hours=1)
JUMPS = pytest.mark.parametrize("jump", [-AN_HOUR, AN_HOUR], ids=["back", "forth"])


@pytest.fixture(autouse=True)
def _short_leases(settings: Settings) -> None:
    settings.LEASE_SECONDS = 0.6


def clock_jumps(conversation: Conversation, jump: timedelta) -> None:
    """Set the clock, as seen from a lease: it is as far off the other way."""
    leases = LoopLease.objects.filter(conversation=conversation)
    assert leases.update(lease_expires_at=F("lease_expires_at") - jump)


@JUMPS
async def test_a_dead_runners_turn_is_taken_over_all_the_same(
    turns: Turns, conversation_of: Make, jump: timedelta
) -> None:
    conversation = await create(conversation_of)()
    claimed = await sync_to_async(lease_claim)(conversation_id=conversation.pk, process="dead")
    assert claimed is not None
    await sync_to_async(clock_jumps)(conversation, jump)
    await turns(finish()).run_all(conversation.pk)
    assert (await read(conversation))[-1] == "state finished"
    await sound(conversation)


@JUMPS
async def test_a_living_runner_has_its_lease_back_with_the_next_renewal(
    turns: Turns, conversation_of: Make, jump: timedelta
) -> None:
    conversation = await create(conversation_of)()
    living = turns(run("block 1"), finish())
    turn = asyncio.create_task(living.run(conversation.pk))
    await until(living.runtimes.runtime.began.is_set)
    await sync_to_async(clock_jumps)(conversation, jump)
    await until(LoopLease.objects.live().filter(conversation=conversation).exists)
    living.runtimes.runtime.let_go.set()
    await turn
    assert (await read(conversation))[-1] == "state finished"
    assert living.effects == ["block 1"]
    await sound(conversation)


@pytest.mark.django_db(transaction=True)
def test_a_chore_is_not_held_by_a_dead_process_for_longer() -> None:
    due = datetime(2026, 1, 1, tzinfo=UTC)
    assert chore_claim(name="retention", process="dead", due=due)
    assert not chore_claim(name="retention", process="next", due=due)
    Chore.objects.update(lease_expires_at=F("lease_expires_at") + AN_HOUR)
    assert chore_claim(name="retention", process="next", due=due)
