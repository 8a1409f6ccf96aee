"""Clients that join late, are cut, come back, or send nonsense: each receives every event once."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import pytest
import socketio

from tests.scripted_llm import ScriptedLLMServer, calls, finish, run
from tests.serving import Client, Server
from tests.waiting import until

Event = dict[str, Any]


def as_sent(trajectory: list[Event]) -> list[Event]:
    """Give what the socket shows of a trajectory: all but the recorded LLM answers."""
    return [{k: v for k, v in e.items() if k != "tool_call_metadata"} for e in trajectory]


async def test_a_client_that_joins_late_receives_the_stored_events_in_order_once(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script([calls(run("echo one"), run("echo two")), calls(finish("Done."))], marker="[late]")
    conversation_id = server.create("Be quick. [late]")
    server.wait_for_rest(conversation_id)
    trajectory = server.trajectory(conversation_id)
    async with Client(server, conversation_id) as client:
        await client.wait_for(lambda events: len(events) >= len(trajectory))
        assert client.events == as_sent(trajectory)


def has_events(number: int, events: list[Event]) -> bool:
    return len(events) >= number


async def test_clients_cut_a_dozen_times_receive_every_event_once(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(
        lambda request: (
            calls(finish("Done."))
            if len(request["messages"]) > 60
            else calls(run("sleep 0.1; echo " + str(len(request["messages"]))))
        ),
        marker="[dozen]",
    )
    conversation_id = server.create("Do many steps. [dozen]")
    steady, cut = Client(server, conversation_id), Client(server, conversation_id)
    await steady.connect()
    await cut.connect()
    for round_ in range(12):
        await cut.wait_for(partial(has_events, 4 * (round_ + 1)))
        await cut.rejoin()
    await asyncio.gather(
        steady.wait_for_state("finished", seconds=60), cut.wait_for_state("finished", seconds=60)
    )
    trajectory = as_sent(server.trajectory(conversation_id))
    assert steady.events == trajectory
    assert cut.events == trajectory
    await steady.cut()
    await cut.cut()


@pytest.mark.parametrize("latest", ["undefined", "", "-1", "1e3", "x" * 50, "99999999999999999999"])
async def test_a_cursor_that_is_no_number_means_from_the_start(server: Server, latest: str) -> None:
    conversation_id = server.create("")
    client = Client(server, conversation_id)
    await client.connect(latest)
    await client.wait_for_state("awaiting_user_input")
    assert [e["id"] for e in client.events] == [0]
    await client.cut()


async def test_a_cursor_beyond_the_log_does_not_hide_what_comes(server: Server) -> None:
    conversation_id = server.create("")
    client = Client(server, conversation_id)
    await client.connect("500")
    await client.act("run", command="true")
    await client.wait_for(lambda events: any(e.get("observation") == "run" for e in events))
    assert client.events[0]["id"] == 1
    await client.cut()


@pytest.mark.parametrize(
    "conversation_id", ["", "0" * 32, "nonsense", "../../etc", "A" * 32, "%00"]
)
async def test_an_unknown_conversation_is_refused_in_words(
    server: Server, conversation_id: str
) -> None:
    client = socketio.AsyncClient(reconnection=False)
    refusals: list[Any] = []
    client.on("connect_error", refusals.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(
            f"{server.address}?conversation_id={conversation_id}&latest_event_id=-1",
            transports=["websocket"],
        )
    assert refusals == [{"message": "This conversation does not exist."}]
    await client.disconnect()


async def test_a_message_is_a_row_when_it_is_acknowledged(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: calls(finish("Done.")), marker="[ack]")
    conversation_id = server.create("")
    async with Client(server, conversation_id) as client:
        answer = await client.act("message", content="Stored? [ack]", image_urls=[])
        assert answer == {"status": "ok"}
        trajectory = server.trajectory(conversation_id)
        assert "Stored? [ack]" in [e.get("args", {}).get("content") for e in trajectory]
        await client.wait_for_state("finished")


async def test_messages_are_stored_in_the_order_in_which_they_were_sent(server: Server) -> None:
    conversation_id = server.create("")
    async with Client(server, conversation_id) as client:
        await client.act("change_agent_state", agent_state="stopped")
        sent = [f"true # {n}" for n in range(30)]
        await asyncio.gather(*(client.act("run", command=command) for command in sent))
        runs = [e for e in server.trajectory(conversation_id) if e.get("action") == "run"]
        assert [e["args"]["command"] for e in runs] == sent
        await client.act("change_agent_state", agent_state="stopped")


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (None, "action"),
        ("text", "action"),
        ([], "action"),
        ({}, "action"),
        ({"action": "fly", "args": {}}, "action"),
        ({"action": "message"}, "args"),
        ({"action": "message", "args": {}}, "args.content"),
        ({"action": "message", "args": {"content": 1}}, "args.content"),
        ({"action": "message", "args": {"content": "x", "image_urls": "y"}}, "args.image_urls"),
        ({"action": "run", "args": {"command": ""}}, "a command takes"),
        ({"action": "change_agent_state", "args": {"agent_state": "asleep"}}, "asleep"),
    ],
)
async def test_nonsense_is_refused_in_words_and_stores_nothing(
    server: Server, data: Any, named: str
) -> None:
    conversation_id = server.create("")
    async with Client(server, conversation_id) as client:
        answer = await client.send_raw(data)
        assert answer["status"] == "error"
        assert named in answer["message"]
        await client.wait_for(lambda events: any(e.get("status_update") for e in events))
        update = next(e for e in client.events if e.get("status_update"))
        assert (update["type"], update["message"]) == ("error", answer["message"])
        assert (await client.act("change_agent_state", agent_state="stopped"))["status"] == "ok"
    assert len(server.trajectory(conversation_id)) == 2


async def test_an_event_with_more_than_one_argument_is_answered(server: Server) -> None:
    conversation_id = server.create("")
    async with Client(server, conversation_id) as client:
        state = {"action": "change_agent_state", "args": {"agent_state": "stopped"}}
        assert await client.send_raw((state, 2, 3)) == {"status": "ok"}


async def test_a_deleted_conversation_says_stopped_and_leaves_nothing(
    server: Server, llm: ScriptedLLMServer
) -> None:
    llm.script(lambda _: calls(run("touch here; sleep 50")), marker="[delete]")
    conversation_id = server.create("Sleep. [delete]")
    async with Client(server, conversation_id) as client:
        await client.wait_for(lambda events: any(e.get("action") == "run" for e in events))
        assert server.ok("DELETE", f"/api/conversations/{conversation_id}") is True
        await client.wait_for_state("stopped")
        assert "id" not in client.events[-1]
        answer = await client.act("message", content="Hello?", image_urls=[])
        assert answer["status"] == "error"
    assert server.ok("GET", f"/api/conversations/{conversation_id}") is None
    assert json.dumps(server.ok("GET", "/api/conversations")).count(conversation_id) == 0
    await until(lambda: not server.workspace(conversation_id).exists())
