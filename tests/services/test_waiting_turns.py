"""Users with more tasks than slots: what waits costs no worker its time, and nothing is stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings

from conversations.agent.testing import finish
from conversations.models import Conversation, LoopLease
from conversations.selectors import wanted_conversations
from conversations.services.leases import lease_claim
from settings_app.models import User
from tests.factories import UserFactory
from tests.postgresql import needs_postgresql
from tests.services.doubles import ScriptedTurns
from tests.services.executing import Executor, jobs, rows
from tests.services.from_async import create
from tests.waiting import until

Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
Start = Callable[[ScriptedTurns], "asyncio.Future[Executor]"]
TASKS, SLOTS = 15, 2


@pytest.fixture(autouse=True)
def _few_slots(settings: Settings) -> None:
    settings.MAX_CONCURRENT_CONVERSATIONS = SLOTS
    settings.LEASE_SECONDS = 60


@needs_postgresql
@pytest.mark.parametrize("executor_kind", ["procrastinate"])
async def test_tasks_that_wait_for_a_slot_are_not_fetched_again_and_again(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    await sync_to_async(rows)("ALTER SEQUENCE procrastinate_jobs_id_seq RESTART")
    for _ in range(TASKS):
        await create(conversation_of)()
    assert len(await sync_to_async(jobs)()) == SLOTS
    worker = turns(*[finish() for _ in range(TASKS)], keeper_runs=False)
    await start(worker)
    await until(lambda: not LoopLease.objects.in_use().exists(), seconds=60)
    await until(lambda: jobs() == [])
    [(made,)] = await sync_to_async(rows)("SELECT last_value FROM procrastinate_jobs_id_seq")
    # One a turn; and one may be made for a slot that is taken in the same moment.
    assert TASKS <= made <= 2 * TASKS
    assert len(worker.llm.asked) == TASKS


def test_each_user_gets_what_waits_longest_for_as_many_slots_as_he_has_free(
    conversation_of: Make, owner: User
) -> None:
    made = [conversation_of() for _ in range(2 * SLOTS)]
    others = [conversation_of() for _ in range(SLOTS)]
    other = UserFactory.create()
    Conversation.objects.filter(pk__in=[one.pk for one in others]).update(owner=other)
    keys = [one.pk for one in (*made, *others)]
    assert wanted_conversations(limit=10) == [*keys[:SLOTS], *keys[-SLOTS:]]
    assert lease_claim(conversation_id=keys[0], process="p") is not None
    assert wanted_conversations(limit=10) == [keys[1], *keys[-SLOTS:]]


def test_a_turn_whose_runners_die_lets_the_others_of_its_user_go_first(
    conversation_of: Make, settings: Settings
) -> None:
    settings.MAX_CONCURRENT_CONVERSATIONS = 1
    bad, other = conversation_of(), conversation_of()
    assert wanted_conversations(limit=10) == [bad.pk]
    assert lease_claim(conversation_id=bad.pk, process="p") is not None
    LoopLease.objects.filter(pk=bad.pk).update(lease_expires_at="2020-01-01T00:00Z")
    assert wanted_conversations(limit=10) == [other.pk]
