"""What loops cost that wait for their LLM, all in one process; and how soon a socket hears."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from uuid import UUID

import socketio
from django.db import connection, connections

from benchmarks.databases import migrate
from benchmarks.held_llm import HELD, HOLD, RELEASE
from benchmarks.load import Request, fetch
from benchmarks.scale import Waiting
from benchmarks.servers import Process
from benchmarks.sizes import Sizes
from conversations.events.codec import user_message
from conversations.services.event_log import event_append

_WATCHED: Final = ("-m", "benchmarks.watched_server")
_POLL_SECONDS: Final = 0.1
#: Seconds after which those that wait are counted: soon the first calls would be given up.
_HELD_SECONDS: Final = 110.0
#: Seconds that all loops of a size may take from there to their end.
_LIMIT_SECONDS: Final = 600.0
#: Clients that create conversations at once.
_CREATORS: Final = 4
#: Events of a turn here: message, `loading`, `running`, `finish`, `finished`.
_EVENTS_A_TURN: Final = 5
_WAKE_SECONDS: Final = 10.0


def waiting_measure(environment: Mapping[str, str], sizes: Sizes) -> list[Waiting]:
    """Start an LLM that holds its answers, and measure each number of loops.

    They run in the server on SQLite, on PostgreSQL in a worker beside it.
    """
    if not sizes.waiting:
        return []
    most, on_postgresql = max(sizes.waiting), connection.vendor == "postgresql"
    allowed = dict(environment) | {"MAX_CONCURRENT_CONVERSATIONS": str(10 * most)}
    if on_postgresql:
        allowed["EXECUTOR"] = "procrastinate"
        migrate(allowed)  # the queue has tables of its own
    llm = Process(["-m", "benchmarks.held_llm", "{port}"], allowed)
    server = runner = Process([*_WATCHED, "serve", "--port", "{port}"], allowed)
    if on_postgresql:
        runner = Process([*_WATCHED, "work", "--concurrency", str(most)], allowed)
    try:
        llm.wait_until_up()
        server.wait_until_up()
        own = {
            "llm_model": "openai/held",
            "llm_api_key": "sk-benchmark-0123456789",
            "llm_base_url": f"http://127.0.0.1:{llm.port}/v1",
        }
        fetch(server.port, Request("POST", "/api/settings", json.dumps(own).encode()))
        # One that does not count: the LLM library is loaded by it.
        _measure(llm, server, runner, 1, settle=0)
        return [
            _measure(llm, server, runner, loops, settle=sizes.settle_seconds)
            for loops in sizes.waiting
        ]
    finally:
        runner.stop()
        server.stop()
        llm.stop()


def _measure(
    llm: Process, server: Process, runner: Process, loops: int, *, settle: float
) -> Waiting:
    fetch(llm.port, Request("POST", HOLD))
    cpu, start = runner.cpu_seconds(), time.monotonic()
    body = json.dumps({"initial_user_msg": "Mend the test that fails."}).encode()
    create = Request("POST", "/api/conversations", body)
    with ThreadPoolExecutor(_CREATORS) as pool:
        list(pool.map(lambda _: fetch(server.port, create), range(loops)))
    held = _reached(
        lambda: int(fetch(llm.port, Request("GET", HELD))), loops, start + _HELD_SECONDS
    )
    seconds = time.monotonic() - start
    runner.wait_until_at_rest(min(settle, 5))
    worked = runner.cpu_seconds() - cpu
    look, cpu = time.monotonic(), runner.cpu_seconds()
    footprint = runner.footprint(looks=2)
    time.sleep(settle / 10)
    share = (runner.cpu_seconds() - cpu) / (time.monotonic() - look)
    cpu = runner.cpu_seconds()
    fetch(llm.port, Request("POST", RELEASE))
    running = Request("GET", "/api/conversations/count?status=RUNNING")
    end = time.monotonic() + _LIMIT_SECONDS
    if left := _reached(lambda: int(fetch(server.port, running)), 0, end):
        msg = f"{left} loops after {_LIMIT_SECONDS:.0f} s, not 0"
        raise TimeoutError(msg)
    worked += runner.cpu_seconds() - cpu
    return Waiting(
        asked=loops,
        loops=held,
        footprint=footprint,
        seconds=seconds,
        share=share,
        milliseconds_an_event=worked * 1000 / (loops * _EVENTS_A_TURN),
    )


def _reached(read: Callable[[], int], wanted: int, end: float) -> int:
    """Give what is read when it is as wanted, or at the `end`."""
    while (found := read()) != wanted and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return found


def wake_ups(server: Process, conversation_id: UUID, number: int) -> list[float]:
    """Give the seconds from each append of this process to a socket at the server."""
    return asyncio.run(_wake_ups(server, conversation_id, number))


async def _wake_ups(server: Process, conversation_id: UUID, number: int) -> list[float]:
    client, arrived, found = socketio.AsyncClient(reconnection=False), asyncio.Event(), []

    async def note(event: dict[str, Any]) -> None:
        if event.get("action") == "message":
            arrived.set()

    client.on("oh_event", note)
    query = f"?conversation_id={conversation_id.hex}&latest_event_id=-1"
    await client.connect(f"http://127.0.0.1:{server.port}{query}", transports=["websocket"])
    try:
        for place in range(number):
            # At every moment of the second between two polls.
            await asyncio.sleep(place % 10 / 10)
            arrived.clear()
            start = time.perf_counter()
            await asyncio.to_thread(partial(_append, conversation_id))
            async with asyncio.timeout(_WAKE_SECONDS):
                await arrived.wait()
            found.append(time.perf_counter() - start)
    finally:
        await client.disconnect()
    return found


def _append(conversation_id: UUID) -> None:
    try:
        event_append(conversation_id=conversation_id, events=[user_message("Go on.")])
    finally:
        connections.close_all()
