"""Packets that no client of ours sends: the connection ends, and the log has no traceback of it."""

from __future__ import annotations

import contextlib

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from conversations.stream.server import LOGIN_SECONDS
from tests.serving import Server
from tests.stream.raw_sockets import socket
from tests.waiting import DEADLINE_SECONDS

Frame = str | bytes
DEEP = "[" * 200_000
ODD: dict[str, Frame] = {
    "nothing": "",
    "a word": "hello",
    "a digit too many": "9",
    "base64": "b!",
    "bytes": b"4" * 10,
    "Engine.IO of its own depth": f"4{DEEP}",
    "a deep pong": f"3{DEEP}",
    "a probe": "2probe",
    "an upgrade": "5",
    "a message without a type": "4",
    "a binary event": '451-["oh_user_action",{"_placeholder":true,"num":0}]',
    "a binary event of none": '450-["oh_user_action"]',
    "a binary acknowledgement": "461-1[]",
    "an acknowledgement": "431[]",
    "a connect error": "44{}",
    "no packet type": "47",
    "too deep a login": f'40{{"token":{DEEP}',
    "a login of a long number": f'40{{"token":{"1" * 5_000}}}',
    "a login that is a list": '40["token"]',
    "a login of broken JSON": '40{"token":',
    "an event of too deep data": f'42["oh_user_action",{DEEP}',
    "an event of a long number": f'42["oh_user_action",{"1" * 5_000}]',
    "an event of a long id": f'42{"1" * 150}["oh_user_action"]',
    "an event without a name": "42[]",
    "an event of nothing": "42",
    "an event that is an object": '42{"0":"oh_user_action"}',
    "an event whose name is an object": "42[{}]",
    "attachments of an event": '42999999999999-["oh_user_action"]',
    "the library's own event": '42["disconnect","transport close"]',
    "the library's other event": '42["connect",{"QUERY_STRING":""}]',
    "superscript digits": "42²[]",
}


def send_until_closed(client: ClientConnection, frame: Frame) -> None:
    client.send(frame)
    with contextlib.suppress(ConnectionClosed):
        while True:
            # At once, and not because its time is over.
            client.recv(LOGIN_SECONDS / 2)


@pytest.fixture(scope="module")
def conversation_id(bare_server: Server) -> str:
    thought = '[{"source": "agent", "action": "think", "args": {"thought": "hm"}}]'
    made = bare_server.create("", replay_json=thought)
    bare_server.wait_for_rest(made)
    return made


@pytest.mark.parametrize("logins", [(), ("40",)], ids=["before the login", "after the login"])
@pytest.mark.parametrize("name", ODD)
def test_what_nobody_understands_ends_the_connection_without_a_word(
    bare_server: Server, conversation_id: str, name: str, logins: tuple[str, ...]
) -> None:
    before = bare_server.log
    with socket(bare_server, conversation_id, *logins) as client:
        send_until_closed(client, ODD[name])
    assert "Traceback" not in bare_server.log.removeprefix(before)


def test_text_that_is_no_text_is_one_line_of_the_log(
    bare_server: Server, conversation_id: str
) -> None:
    before = bare_server.log
    with socket(bare_server, conversation_id) as client:
        client.send(b"40\xff", text=True)
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_SECONDS)
    said = bare_server.log.removeprefix(before)
    assert "Invalid UTF-8" in said
    assert "Traceback" not in said


def test_half_a_character_is_text_like_any_other(bare_server: Server, conversation_id: str) -> None:
    before = bare_server.log
    with socket(bare_server, conversation_id, '40{"token":"\\ud800abc"}') as client:
        client.send('421["oh_user_action",{"action":"\\ud800"}]')
        while not (answer := str(client.recv(DEADLINE_SECONDS))).startswith("431["):
            assert answer.startswith("42")
        assert '"status":"error"' in answer
    assert "Traceback" not in bare_server.log.removeprefix(before)
