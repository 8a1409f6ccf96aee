"""Writers that append at once, each a process with a log of its own, beside bare statements."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any, Final
from uuid import UUID

from django.db import connection, connections
from django.utils import timezone

from benchmarks.scale import Appends
from benchmarks.seeding import event_make
from benchmarks.sizes import Sizes
from conversations.agent.llm import Usage
from conversations.events.codec import payload_of
from conversations.services.event_log import event_append

_READY_SECONDS: Final = 60.0
_PRODUCT, _COUNTED, _FLOOR = range(3)
_UPDATE: Final = """UPDATE conversations_conversation
    SET last_event_id = last_event_id + 1, last_updated_at = %s
    WHERE id = %s AND deleted_at IS NULL AND epoch = %s RETURNING last_event_id"""
_INSERT: Final = """INSERT INTO conversations_eventrecord
    (conversation_id, event_id, timestamp, source, action, observation, payload)
    VALUES (%s, %s, %s, 'agent', 'run', '', %s)"""


def appends_measure(conversation_ids: list[UUID], sizes: Sizes) -> Appends:
    """Let a writer append to each of these logs, all at once; each event is a commit of its own."""
    # No connection may be shared with a child.
    connections.close_all()
    # Forked: everything is loaded, and no thread of this process is at work here.
    context = multiprocessing.get_context("fork")
    barrier, rates = context.Barrier(len(conversation_ids)), context.SimpleQueue()
    writers = [
        context.Process(target=_write, args=(one, sizes, barrier, rates.put), daemon=True)
        for one in conversation_ids
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(_READY_SECONDS + 4 * sizes.rounds * (sizes.load_seconds + 1))
    if any(writer.exitcode for writer in writers):
        msg = f"a writer ended with {[writer.exitcode for writer in writers]}"
        raise RuntimeError(msg)
    each = [rates.get() for _ in writers]
    rounds = [
        [sum(rates[number][kind] for rates in each) for kind in (_PRODUCT, _COUNTED, _FLOOR)]
        for number in range(sizes.rounds)
    ]
    product, counted, floor = (median(column) for column in zip(*rounds, strict=True))
    ratio = median(one[_FLOOR] / one[_PRODUCT] for one in rounds)
    return Appends(writers=len(writers), product=product, counted=counted, floor=floor, ratio=ratio)


def _write(
    conversation_id: UUID, sizes: Sizes, barrier: Barrier, done: Callable[[object], None]
) -> None:
    append = partial(event_append, conversation_id=conversation_id, events=[event_make(0)], epoch=0)
    usage = Usage(prompt_tokens=900, completion_tokens=20, cost=0.01)
    bare = _bare(conversation_id)
    calls: list[Callable[[], None]] = [append, partial(append, usage=usage), bare]
    for call in calls:
        for _ in range(10):  # the driver prepares a statement that comes again
            call()
    rounds = []
    for _ in range(sizes.rounds):
        rates = []
        for call in calls:
            barrier.wait(_READY_SECONDS)
            number, start = 0, time.perf_counter()
            while time.perf_counter() < start + sizes.load_seconds:
                call()
                number += 1
            rates.append(number / (time.perf_counter() - start))
        rounds.append(rates)
    done(rounds)


def _bare(conversation_id: UUID) -> Callable[[], None]:
    connection.ensure_connection()
    payload = json.dumps(payload_of(event_make(0)))
    if connection.vendor == "sqlite":
        return partial(_bare_sqlite, conversation_id.hex, payload)
    return partial(_bare_postgresql(), conversation_id, payload)


def _bare_sqlite(key: str, payload: str) -> None:
    cursor: Any = connection.connection.cursor()
    now = str(timezone.now())
    cursor.execute("BEGIN IMMEDIATE")
    ((number,),) = cursor.execute(_UPDATE.replace("%s", "?"), (now, key, 0)).fetchall()
    cursor.execute(_INSERT.replace("%s", "?"), (key, number, now, payload))
    cursor.execute("COMMIT")


def _bare_postgresql() -> Callable[[UUID, str], None]:
    import psycopg

    names = ("dbname", "user", "password", "host", "port")
    parameters = connection.get_connection_params()
    bare = psycopg.connect(
        **{name: parameters[name] for name in names if name in parameters}, autocommit=True
    )

    def append(key: UUID, payload: str) -> None:
        now = timezone.now()
        bare.execute("BEGIN")
        number = bare.execute(_UPDATE, (now, key, 0)).fetchone()
        assert number is not None
        bare.execute(_INSERT, (key, number[0], now, payload))
        bare.execute("COMMIT")

    return append
