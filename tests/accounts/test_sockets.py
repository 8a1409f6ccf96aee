"""Every event of the socket, for everybody; and what a socket may do whose user has gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from websockets.sync.client import ClientConnection

from conversations.events.states import AgentState
from conversations.stream.server import MAX_SOCKETS_OF_USER, Stream
from conversations.stream.user_actions import user_action_kinds
from tests.accounts.people import People
from tests.stream.raw_sockets import answer_to
from tests.stream.raw_sockets import socket as raw_socket
from tests.waiting import until_true

#: What a user may send, by the kind of its action.
ACTIONS: dict[str, list[dict[str, Any]]] = {
    "message": [{"content": "Mine now", "image_urls": []}],
    "run": [{"command": "touch /workspace/mine"}],
    "change_agent_state": [{"agent_state": state.value} for state in AgentState],
}
SENT: list[dict[str, Any]] = [
    {"action": kind, "args": args} for kind, many in ACTIONS.items() for args in many
]
EVENTS = ("oh_user_action", "oh_action")
_LEAVING = """
from knox.models import AuthToken
from settings_app.models import User
print(AuthToken.objects.create(user=User.objects.create_user({name!r}))[1])
"""
_DEACTIVATE = """
from settings_app.models import User
User.objects.filter(username={name!r}).update(is_active=False)
"""


def address(people: People, conversation_id: str) -> str:
    return f"{people.server.address}?conversation_id={conversation_id}&latest_event_id=-1"


async def connected(people: People, conversation_id: str, **options: Any) -> str:
    """Connect a socket; give what it was refused with, empty where it was let in."""
    client = socketio.AsyncClient(reconnection=False)
    refusals: list[Any] = []
    client.on("connect_error", refusals.append)
    address = f"{people.server.address}?conversation_id={conversation_id}&latest_event_id=-1"
    try:
        await client.connect(address, transports=["websocket"], wait_timeout=10, **options)
    except socketio.exceptions.ConnectionError:
        return str(refusals[0])
    await client.disconnect()
    return ""


async def test_a_socket_is_opened_by_a_cookie_or_a_token_of_its_owner(people: People) -> None:
    before = people.server.log
    conversation_id = people.create("ada")
    cookie = people.log_in("ada")
    assert await connected(people, conversation_id, headers={"Cookie": cookie}) == ""
    assert await connected(people, conversation_id, headers=people.headers("ada")) == ""
    token = {"token": people.tokens["ada"]}
    assert await connected(people, conversation_id, auth=token) == ""
    missing = await connected(people, "0" * 32, headers=people.headers("ada"))
    assert "does not exist" in missing
    for other in ("bob", "staff"):
        refused = await connected(people, conversation_id, headers=people.headers(other))
        assert refused == missing
    for nobody in ({}, {"Cookie": people.gone_cookie}, people.headers("gone")):
        refused = await connected(people, conversation_id, headers=nobody)
        assert "Log in first" in refused
    own = people.tokens["ada"]
    for given in (5, "", "\ud800abc", "\0", "ä", own + "\udfff", own + "\0", "x" * 100_000):
        assert "Log in first" in await connected(people, conversation_id, auth={"token": given})
    for header in ({"Authorization": "Token \udcff"}, {"Cookie": f'sessionid="\\000{"a" * 31}"'}):
        assert "Log in first" in await connected(people, conversation_id, headers=header)
    assert "Traceback" not in people.server.log.removeprefix(before)


def numbers(events: list[dict[str, Any]]) -> list[int]:
    """Give the numbers of those that are stored; status updates have none."""
    return [event["id"] for event in events if isinstance(event.get("id"), int)]


@asynccontextmanager
async def socket(
    people: People, conversation_id: str, **options: Any
) -> AsyncIterator[tuple[socketio.AsyncClient, list[dict[str, Any]]]]:
    """Give a connected socket, and what it has received so far."""
    client = socketio.AsyncClient(reconnection=False)
    received: list[dict[str, Any]] = []
    client.on("oh_event", received.append)
    await client.connect(
        address(people, conversation_id), transports=["websocket"], wait_timeout=10, **options
    )
    try:
        yield client, received
    finally:
        await client.disconnect()


def test_one_user_has_so_many_sockets_and_takes_none_from_others(people: People) -> None:
    own, other = people.create("bob"), people.create("ada")
    with contextlib.ExitStack() as stack:

        def another(name: str, conversation_id: str) -> tuple[ClientConnection, str]:
            headers = people.headers(name)
            client = stack.enter_context(
                raw_socket(people.server, conversation_id, headers=headers)
            )
            return client, answer_to(client)

        made = [another("bob", own) for _ in range(MAX_SOCKETS_OF_USER)]
        assert {answer[:9] for _, answer in made} == {'40{"sid":'}
        refused = '44{"message":"You have 100 connections open. Close some, then try again."}'
        assert another("bob", own)[1] == refused
        assert another("ada", other)[1].startswith("40")
        made[0][0].close()
        until_true(lambda: another("bob", own)[1].startswith("40"))


def test_no_event_and_no_action_is_missing_here() -> None:
    handlers = set(Stream().sio.handlers["/"])
    assert handlers == {"connect", "disconnect", *EVENTS}
    assert set(ACTIONS) == user_action_kinds()


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("stranger", ["bob", "staff"])
async def test_a_stranger_reaches_no_conversation_from_his_own_socket(
    people: People, event: str, stranger: str
) -> None:
    """Whatever he says that he means, it is his own conversation; and he hears of no other."""
    theirs, own = people.create("ada"), people.create(stranger)
    before = people.call("ada", "GET", f"/api/conversations/{theirs}/trajectory")
    async with socket(people, own, headers=people.headers(stranger)) as (client, received):
        for sent in SENT:
            named = {**sent, "conversation_id": theirs, "sid": theirs, "room": theirs}
            named["args"] = {**sent["args"], "conversation_id": theirs}
            answer = await client.call(event, named, timeout=10)
            assert theirs not in str(answer)
        assert theirs not in str(received)
    assert people.call("ada", "GET", f"/api/conversations/{theirs}/trajectory") == before


@pytest.mark.parametrize("event", EVENTS)
async def test_nobody_does_anything_without_being_let_in(people: People, event: str) -> None:
    """An event before the connection was let in, as a client of one's own making can send it."""
    theirs = people.create("ada")
    logged = people.server.log
    before = people.call("ada", "GET", f"/api/conversations/{theirs}/trajectory")
    for name in ("", "gone", "bob", "staff", "ada"):
        client = socketio.AsyncClient(reconnection=False)
        await client.eio.connect(
            address(people, theirs),
            headers=people.headers(name),
            transports=["websocket"],
            engineio_path="socket.io",
        )
        for sent in SENT[:2]:
            await client.eio.send("2" + json.dumps([event, sent]))
        await client.eio.disconnect()
    assert "Traceback" not in people.server.log.removeprefix(logged)
    assert people.call("ada", "GET", f"/api/conversations/{theirs}/trajectory") == before


async def test_a_socket_of_a_closed_account_is_refused_and_then_cut_off(people: People) -> None:
    name = "leaving"
    people.tokens[name] = people.python(_LEAVING.format(name=name)).strip()
    settings = {"llm_model": "m", "llm_api_key": "sk-0123456789"}
    assert people.call(name, "POST", "/api/settings", settings)[0] == 200
    own = people.create(name)
    async with socket(people, own, headers=people.headers(name)) as (client, received):
        people.python(_DEACTIVATE.format(name=name))
        for sent in SENT:
            answer = await client.call("oh_user_action", sent, timeout=10)
            assert answer["status"] == "error"
            assert "no longer logged in" in answer["message"]
        assert numbers(received) == [0], "nothing was stored"


async def test_a_logout_ends_what_a_socket_may_do(people: People) -> None:
    cookie = people.log_in("ada")
    own = people.create("ada")
    async with socket(people, own, headers={"Cookie": cookie}) as (client, received):
        stop = {"action": "change_agent_state", "args": {"agent_state": "stopped"}}
        assert (await client.call("oh_user_action", stop, timeout=10))["status"] == "ok"
        assert people.post_form("/logout", cookie)[0] == 302
        refused = await client.call("oh_user_action", stop, timeout=10)
        assert refused["code"] == "logged_out"
        ended = asyncio.Event()
        client.on("disconnect", ended.set)
        async with (
            asyncio.timeout(30),
            socket(people, own, headers=people.headers("ada")) as (other, heard),
        ):
            # It is cut off by an event that it may not receive any more.
            while not ended.is_set():
                message = {"action": "run", "args": {"command": "true"}}
                assert (await other.call("oh_user_action", message, timeout=10))["status"] == "ok"
                await asyncio.sleep(0.5)
        assert numbers(received)[-1] < numbers(heard)[-1]
