"""The bus on LISTEN and NOTIFY: across processes, cut off, and with everything lost or doubled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.db.models import F

from conversations import bus
from conversations.bus import get_bus
from conversations.bus.postgres import APPLICATION_NAME, CHANNEL, PostgresBus
from conversations.events.base import JSONObject
from conversations.events.codec import user_message
from conversations.executors.sweep import Sweep
from conversations.models import Conversation, LoopLease
from conversations.services.event_log import event_append
from conversations.services.messages import message_send
from conversations.stream.pump import pump
from settings_app.models import User
from tests.commands import operating
from tests.postgresql import backend_end, backends, needs_postgresql
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = needs_postgresql
OURS = f"{APPLICATION_NAME}:{os.getpid()}"
HEARS = 10.0


@pytest.fixture
def resting(user: User) -> Conversation:
    return operating.conversation(user)


@pytest.fixture
async def listening(transactional_db: None) -> AsyncIterator[PostgresBus]:
    """Give this process's bus, once it listens."""
    made = get_bus()
    assert isinstance(made, PostgresBus), "on PostgreSQL nobody has to choose it"
    await made.start()
    await until(lambda: len(backends(OURS)) == 1)
    yield made
    await made.stop()


def notify(payload: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])


def change(conversation: Conversation) -> None:
    """Change a row as a process does that nobody hears."""
    LoopLease.objects.filter(pk=conversation.pk).update(control_epoch=F("control_epoch") + 1)


async def test_a_wake_up_crosses_processes(
    listening: PostgresBus, resting: Conversation, tmp_path: Path
) -> None:
    """Nothing polls here."""
    await sync_to_async(message_send)(conversation=resting, content="Wanted now.")
    subscription = listening.subscribe(resting.pk)
    command = asyncio.to_thread(
        operating.start, tmp_path, "stop_agent_loops", resting.pk.hex, "--wait", "0"
    )
    done, _ = await asyncio.gather(command, asyncio.wait_for(subscription.wait(), HEARS * 3))
    assert done.code == 0
    subscription.close()


async def test_an_append_of_a_loop_wakes_its_own_process_and_others(
    listening: PostgresBus, resting: Conversation
) -> None:
    """A loop appends outside of a transaction: word of it goes along, behind the commit."""
    other, append = PostgresBus(), sync_to_async(event_append)
    await other.start()
    await until(lambda: len(backends(OURS)) == 2)
    ears = [one.subscribe(resting.pk) for one in (listening, other)]
    async with asyncio.timeout(DEADLINE_SECONDS):
        # The other connection may be there before it listens.
        heard = [asyncio.create_task(ear.wait()) for ear in ears]
        while not all(task.done() for task in heard):
            await append(conversation_id=resting.pk, events=[user_message("On.")], epoch=0)
            await asyncio.wait(heard, timeout=0.2)
    for ear in ears:
        ear.close()
    await other.stop()


async def test_a_cut_connection_comes_back(listening: PostgresBus, resting: Conversation) -> None:
    subscription = listening.subscribe(resting.pk)
    for _ in range(2):
        [before] = await sync_to_async(backends)(OURS)
        await sync_to_async(backend_end)(before)
        await until(lambda before=before: backends(OURS) not in ([], [before]))  # type: ignore[misc]
    other = PostgresBus()
    async with asyncio.timeout(DEADLINE_SECONDS):
        # The new connection may be there before it listens.
        while True:
            await sync_to_async(other.publish)(resting.pk)
            try:
                await asyncio.wait_for(subscription.wait(), 0.2)
                break
            except TimeoutError:
                continue
    subscription.close()


async def test_while_nothing_is_heard_the_poll_serves(resting: Conversation) -> None:
    deaf = PostgresBus({"host": "127.0.0.1", "port": 1, "dbname": "none"})
    bus.install(deaf)
    await deaf.start()
    sweep = Sweep(process="web")
    subscription = deaf.subscribe(resting.pk)
    sweep.start()
    try:
        # The first round wakes everybody: it knows nothing yet.
        await asyncio.wait_for(subscription.wait(), HEARS)
        for _ in range(2):
            await sync_to_async(change)(resting)
            await asyncio.wait_for(subscription.wait(), HEARS)
    finally:
        subscription.close()
        await sweep.stop()
        await deaf.stop()
        bus.install(None)


async def test_lost_doubled_and_senseless_wake_ups_harm_nothing(
    listening: PostgresBus, resting: Conversation
) -> None:
    emitted: list[Any] = []

    async def emit(event: JSONObject) -> None:
        emitted.append(event["id"])

    pumping = asyncio.create_task(pump(conversation_id=resting.pk, cursor=-1, emit=emit))
    try:
        for number in range(5):
            await sync_to_async(message_send)(conversation=resting, content=f"{number}")
            for payload in (f"{resting.pk.hex}:x", f"{resting.pk.hex}:x", "", "nonsense", "0:0:0"):
                await sync_to_async(notify)(payload)
        await until(lambda: len(emitted) >= 6)
        await sync_to_async(message_send)(conversation=resting, content="the last")
        await until(lambda: len(emitted) >= 7)
        assert emitted == list(range(7))
        assert len(await sync_to_async(backends)(OURS)) == 1, "nonsense has cost the connection"
    finally:
        pumping.cancel()
        await asyncio.wait({pumping})


def test_what_is_stored_stays_stored_where_the_wake_up_cannot_be_sent(
    resting: Conversation,
) -> None:
    def refuse(
        execute: Callable[..., Any],
        statement: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if "pg_notify" in statement:
            message = "the connection is gone"
            raise OperationalError(message)
        return execute(statement, params, many, context)

    before = Conversation.objects.get(pk=resting.pk).last_event_id
    with connection.execute_wrapper(refuse):
        message_send(conversation=resting, content="Stored.")
    assert Conversation.objects.get(pk=resting.pk).last_event_id == before + 1
    assert LoopLease.objects.get(pk=resting.pk).requested == 1


async def test_a_bus_that_is_stopped_leaves_no_connection(transactional_db: None) -> None:
    made = PostgresBus()
    await made.start()
    await until(lambda: len(backends(OURS)) == 1)
    await made.stop()
    await until(lambda: backends(OURS) == [])
    await made.stop()
