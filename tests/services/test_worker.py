"""A worker on its queue: each trap of Procrastinate that would cost us, and its cure."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import ProgrammingError, connection, transaction
from pytest_django import Settings

from conversations.agent.testing import finish, run
from conversations.executors.procrastinate import ProcrastinateExecutor
from conversations.executors.turn_queue import turn_enqueue
from conversations.models import Conversation, LoopLease
from conversations.services.messages import message_send
from tests.postgresql import backend_end, backends, needs_postgresql
from tests.services.doubles import ScriptedTurns
from tests.services.executing import Executor, jobs, rows
from tests.services.from_async import create, read, send, sound
from tests.services.reading import status
from tests.waiting import until, until_true

pytestmark = needs_postgresql
Turns = Callable[..., ScriptedTurns]
Make = Callable[..., Conversation]
Start = Callable[[ScriptedTurns], "asyncio.Future[Executor]"]

#: A worker that was last heard of so many seconds ago has fetched the oldest job.
_DIED = """
WITH died AS (
    INSERT INTO procrastinate_workers (last_heartbeat)
    VALUES (now() - make_interval(secs => %s)) RETURNING id
)
UPDATE procrastinate_jobs SET status = 'doing', worker_id = died.id FROM died
WHERE procrastinate_jobs.id = (SELECT min(id) FROM procrastinate_jobs WHERE status = 'todo')
"""
BEATS = "SELECT last_heartbeat FROM procrastinate_workers ORDER BY id"


@pytest.fixture
def executor_kind() -> str:
    return "procrastinate"


@pytest.fixture(autouse=True)
def _short_leases(settings: Settings) -> None:
    settings.LEASE_SECONDS = 1.5


def is_at_rest(conversation: Conversation) -> bool:
    return status(conversation.pk) == "STOPPED"


async def test_a_job_is_enqueued_in_the_transaction_that_makes_its_turn_wanted(
    start: Start, conversation_of: Make
) -> None:
    """Two messages in one transaction: the second job is refused, and nothing is lost by that."""
    conversation = await create(conversation_of)("")

    def roll_back() -> None:
        with transaction.atomic():
            message_send(conversation=conversation, content="Forgotten.")
            assert len(jobs()) == 1
            transaction.set_rollback(True)

    def send_two() -> None:
        with transaction.atomic():
            message_send(conversation=conversation, content="One.")
            message_send(conversation=conversation, content="Two.")

    await sync_to_async(roll_back)()
    assert await sync_to_async(jobs)() == []
    await sync_to_async(send_two)()
    assert [s for _, s in await sync_to_async(jobs)()] == ["todo"]
    assert (await sync_to_async(LoopLease.objects.get)(pk=conversation.pk)).requested == 2


async def test_what_has_ended_leaves_no_job(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    await start(turns(run("one"), finish(), keeper_runs=False))
    await until(lambda: is_at_rest(conversation))
    await until(lambda: jobs() == [])
    assert await sync_to_async(rows)("SELECT count(*) FROM procrastinate_events") == [(0,)]


async def test_a_job_that_waits_for_the_one_before_it_is_started_at_its_end(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    """Nobody looks at the queue in between, and no message tells of it."""
    conversation = await create(conversation_of)()
    worker = turns(run("block"), finish(), keeper_runs=False)
    executor = ProcrastinateExecutor(worker.resources, concurrency=2, look_seconds=600)
    await executor.start()
    try:
        await until(worker.runtimes.runtime.began.is_set)
        await sync_to_async(turn_enqueue)(conversation.pk)
        assert sorted(s for _, s in await sync_to_async(jobs)()) == ["doing", "todo"]
        worker.runtimes.runtime.let_go.set()
        await until(lambda: jobs() == [])
    finally:
        await executor.stop()


async def test_what_is_wanted_without_a_job_gets_one(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    await sync_to_async(rows)("DELETE FROM procrastinate_jobs")
    await start(turns(finish(), keeper_runs=False))
    await until(lambda: is_at_rest(conversation))
    await until(lambda: jobs() == [])


async def test_the_job_of_a_worker_that_died_is_dropped_and_its_turn_run(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    rested = await create(conversation_of)("")
    await sync_to_async(turn_enqueue)(rested.pk)
    for seconds_ago in (3600, 0):
        await sync_to_async(rows)(_DIED, seconds_ago)
    await start(turns(finish(), keeper_runs=False))
    await until(lambda: is_at_rest(conversation))
    await until(lambda: jobs() == [])


async def test_the_planner_is_told_when_many_wait(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    """-1 means unknown, as after a migration."""
    size = "FROM pg_class WHERE relname = 'procrastinate_jobs'"
    await sync_to_async(rows)(
        "UPDATE pg_class SET reltuples = -1 WHERE relname = 'procrastinate_jobs'"
    )
    for _ in range(2):
        await create(conversation_of)()
    worker = turns(run("block"), keeper_runs=False)
    executor = ProcrastinateExecutor(worker.resources, concurrency=1, crowd=1)
    await executor.start()
    try:
        await until(lambda: rows(f"SELECT reltuples > 0 {size}") == [(True,)])
    finally:
        await executor.stop()


async def test_a_frozen_worker_that_wakes_up_leaves_its_successors_job_alone(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    await create(conversation_of)()
    await sync_to_async(rows)(_DIED, 3600)
    [(frozen_job, _)] = await sync_to_async(jobs)()
    successor = turns(run("block"), finish(), keeper_runs=False)
    await start(successor)
    await until(successor.runtimes.runtime.began.is_set)
    before = await sync_to_async(jobs)()
    with pytest.raises(ProgrammingError, match="not found"):
        await sync_to_async(rows)(
            "SELECT procrastinate_finish_job_v1(%s, 'succeeded', true)", frozen_job
        )
    assert await sync_to_async(jobs)() == before
    successor.runtimes.runtime.let_go.set()
    await until(lambda: jobs() == [])


async def test_a_worker_whose_job_others_have_dropped_goes_on(
    start: Start, turns: Turns, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    worker = turns(run("block"), finish(), finish(), keeper_runs=False)
    await start(worker)
    await until(worker.runtimes.runtime.began.is_set)
    await sync_to_async(rows)("DELETE FROM procrastinate_jobs")
    worker.runtimes.runtime.let_go.set()
    await until(lambda: is_at_rest(conversation))
    await send(conversation=conversation, content="Go on.")
    await until(lambda: len(worker.llm.asked) == 3 and is_at_rest(conversation))
    await until(lambda: jobs() == [])
    await sound(conversation)


async def test_a_blocked_event_loop_still_beats(
    start: Start, turns: Turns, transactional_db: None
) -> None:
    await start(turns(keeper_runs=False))
    await until(lambda: len(rows(BEATS)) == 1)
    place = connection.get_connection_params()

    def beat() -> object:
        with psycopg.connect(
            **{k: place[k] for k in ("dbname", "host", "port", "user", "password") if k in place}
        ) as other:
            row = other.execute(BEATS).fetchone()
            assert row is not None
            return row[0]

    before = beat()
    # Not awaited: nothing else runs in this loop meanwhile.
    until_true(lambda: beat() != before)


async def test_a_worker_outlives_its_connections_and_its_own_row(
    start: Start, turns: Turns, conversation_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = await create(conversation_of)("")
    worker = turns(finish(), finish(), keeper_runs=False)
    await start(worker)
    await until(lambda: len(rows(BEATS)) == 1)

    def cut() -> None:
        for pid in backends(f"handrail-queue:{os.getpid()}"):
            backend_end(pid)

    await sync_to_async(cut)()
    await send(conversation=first, content="Go on.")
    await until(lambda: is_at_rest(first))
    await sync_to_async(rows)("SELECT pg_notify('procrastinate_queue_v1#handrail', 'nonsense')")
    # As for one that was frozen: the others have struck it off.
    await sync_to_async(rows)("DELETE FROM procrastinate_workers")
    await send(conversation=first, content="And on.")
    await until(lambda: is_at_rest(first))
    assert (await read(first))[-1] == "state finished"
    await until(lambda: jobs() == [])


async def test_a_worker_that_drains_keeps_its_jobs_until_they_end(
    start: Start, turns: Turns, conversation_of: Make, settings: Settings
) -> None:
    """Many times longer than a worker may be silent, with another one waiting to take over."""
    settings.WORKER_GRACE_SECONDS = 60
    conversation = await create(conversation_of)()
    draining = turns(run("block"), process="draining", keeper_runs=False)
    executor = await start(draining)
    await until(draining.runtimes.runtime.began.is_set)
    [its_job] = await sync_to_async(jobs)()
    [(beat,)] = await sync_to_async(rows)(BEATS)
    stopping = asyncio.create_task(executor.stop())
    successor = turns(finish(), process="successor", keeper_runs=False)
    await start(successor)
    silent = "SELECT 1 FROM procrastinate_workers WHERE last_heartbeat > %s + interval '3 s'"
    await until(lambda: len(rows(silent, beat)) == 2)
    assert await sync_to_async(jobs)() == [its_job]
    assert not stopping.done()
    draining.runtimes.runtime.let_go.set()
    await stopping
    await until(lambda: is_at_rest(conversation))
    assert (await read(conversation)).count("agent<run") == 1
    assert (await read(conversation))[-1] == "state finished"
    assert len(successor.llm.asked) == 1
    await sound(conversation)
