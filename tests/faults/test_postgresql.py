"""PostgreSQL restarts, refuses, stalls, fills up; nothing is lost, doubled or stuck by it."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from typing import Any

import aiohttp
import psycopg

from tests.faults.conftest import Exposed
from tests.faults.work import Work
from tests.scripted_llm import ScriptedLLMServer, finish
from tests.serving import Client, Server
from tests.waiting import until_true

#: After this packet a browser's client does not come back by itself.
CONNECT_ERROR = "44"
#: What the database says of a disk without room (SQLSTATE 53100).
NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'
   USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON conversations_eventrecord
FOR EACH ROW EXECUTE FUNCTION no_room()
"""


def has_come_to(event_id: int, events: list[dict[str, Any]]) -> bool:
    return bool(events) and events[-1].get("id") == event_id


async def answers_to_connect(server: Server, conversation_id: str) -> list[str]:
    """Connect a socket as the library of browsers does; give what it is told until it is closed."""
    said = []
    query = f"EIO=4&transport=websocket&conversation_id={conversation_id}&latest_event_id=-1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.address}/socket.io/?{query}") as socket,
        asyncio.timeout(20),
    ):
        await socket.receive_str()
        await socket.send_str("40")
        async for packet in socket:
            said.append(str(packet.data))
    return said


def page(server: Server, path: str) -> tuple[int, str, str | None]:
    """Ask for a page as a browser does; give status, text, and when to try again."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("Retry-After")
    finally:
        connection.close()


async def test_a_restart_in_the_middle_of_turns_costs_a_lease(
    exposed: Exposed, llm: ScriptedLLMServer
) -> None:
    works = [Work(exposed.server, llm, f"[restart {n}]", steps=4) for n in range(3)]
    for work in works:
        await work.client.connect()
    works[0].until_effects(2)
    await asyncio.to_thread(exposed.store.restart)
    for work in works:
        await work.until_rest()


async def test_while_the_database_is_away_everybody_is_told_and_comes_back_by_himself(
    exposed: Exposed, llm: ScriptedLLMServer
) -> None:
    server = exposed.server
    work = Work(server, llm, "[away]", steps=4)
    await work.client.connect()
    watchers = [Client(server, work.id) for _ in range(20)]
    for watcher in watchers:
        await watcher.connect()
    work.until_effects(2)
    written = len(server.log)
    exposed.store.stop()
    try:
        told = await work.client.act("message", content="Is it stored?")
        assert (told["status"], told["code"]) == ("error", "not_stored")
        assert "it is not known whether" in told["message"]
        for path in ("/admin/", "/"):
            status, text, again = await asyncio.to_thread(page, server, path)
            assert (status, again) == (503, "5")
            assert "The database does not answer" in text
        until_true(lambda: "sweep_failed" in server.log[written:])
        said = await answers_to_connect(server, work.id)
        assert not [packet for packet in said if packet.startswith(CONNECT_ERROR)], said
    finally:
        exposed.store.start()
    log = await work.until_rest()
    assert "Is it stored?" not in str(log)
    for watcher in watchers:
        await watcher.wait_for(partial(has_come_to, log[-1]["id"]))
    await asyncio.gather(*(watcher.cut() for watcher in watchers))
    lines = server.log[written:].splitlines()
    assert "sweep_works_again" in server.log[written:]
    assert "Traceback" not in server.log[written:], server.log[written:]
    # The bus waits longer each time, by itself.
    failed = [line for line in lines if " [warning" in line and "bus_lost" not in line]
    assert len(failed) < 10, failed


def requested(server: Server, stack: ExitStack) -> HTTPConnection:
    """Ask for a list, and don't wait for it."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    stack.callback(connection.close)
    connection.request("GET", "/api/conversations")
    return connection


async def test_a_stall_of_the_network_is_sat_out(exposed: Exposed, llm: ScriptedLLMServer) -> None:
    server = exposed.server
    work = Work(server, llm, "[stall]", steps=4)
    await work.client.connect()
    work.until_effects(2)
    with exposed.network.stalled(), ExitStack() as stack:
        # Twice as many as there are threads: without one of its own, a probe would stand behind.
        asked = [
            requested(server, stack) for _ in range(2 * int(server.environment["WEB_THREADS"]))
        ]
        assert await asyncio.to_thread(server.call, "GET", "/alive") == (200, "OK")
        assert not select.select([one.sock for one in asked], [], [], 0)[0], "it was answered later"
        answers = [await asyncio.to_thread(one.getresponse) for one in asked]
        assert {answer.status for answer in answers} == {503}
        until_true(lambda: server.call("GET", "/ready")[0] == 503)
    await work.until_rest()


@contextmanager
def no_room(exposed: Exposed) -> Iterator[None]:
    """Have no room for events, but for all else: the rows of leases are rewritten in place."""
    with psycopg.connect(exposed.store.url, autocommit=True) as connection:
        connection.execute(NO_ROOM)
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION no_room CASCADE")


def asked_with(llm: ScriptedLLMServer, marker: str) -> int:
    return len([request for request in llm.turns if marker in request.messages_text])


async def test_where_the_disk_is_full_nothing_is_done_that_cannot_be_stored(
    exposed: Exposed, llm: ScriptedLLMServer
) -> None:
    server = exposed.server
    work = Work(server, llm, "[full]", steps=4, thinks=0.5)
    await work.client.connect()
    work.until_effects(2)
    # The answer to this one finds no room.
    asked = asked_with(llm, "[full]")
    until_true(lambda: asked_with(llm, "[full]") > asked)
    with no_room(exposed):
        done, cut_off = len(work.effects()), server.log.count("turn_cut_off")
        status, told = await asyncio.to_thread(
            server.call, "POST", "/api/conversations", {"initial_user_msg": "Begin. [full too]"}
        )
        assert (status, "does not answer" in told["message"]) == (503, True), told
        until_true(lambda: server.log.count("turn_cut_off") > cut_off)
        assert len(work.effects()) == done
    await work.until_rest()


async def test_a_lock_that_somebody_holds_fails_a_request_in_words(
    exposed: Exposed, llm: ScriptedLLMServer
) -> None:
    server = exposed.server
    llm.script([finish("done")], marker="[locked]")
    conversation_id = server.create("Finish. [locked]")
    server.wait_for_rest(conversation_id)
    path = f"/api/conversations/{conversation_id}"
    with psycopg.connect(exposed.store.url) as connection:
        connection.execute("SELECT 1 FROM conversations_conversation FOR UPDATE")
        status, told = await asyncio.to_thread(server.call, "PATCH", path, {"title": "New"})
        assert (status, "does not answer" in told["message"]) == (503, True)
        assert "lock timeout" in server.log
    server.ok("PATCH", path, {"title": "New"})


async def test_a_web_process_has_no_more_connections_than_it_may(exposed: Exposed) -> None:
    server = exposed.server
    asked = [asyncio.to_thread(server.call, "GET", "/api/conversations") for _ in range(60)]
    assert {status for status, _ in await asyncio.gather(*asked)} == {200}
    names = exposed.store.rows("SELECT application_name FROM pg_stat_activity") or []
    ours = [name for (name,) in names if name == f"handrail-web:{server.pid}"]
    # The threads for requests; loops and sockets, leases, retention, readiness, probes.
    assert 1 < len(ours) <= int(server.environment["WEB_THREADS"]) + 7
