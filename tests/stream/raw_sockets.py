"""Websockets that speak Socket.IO by hand. It holds no test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from websockets.sync.client import ClientConnection, connect

from tests.serving import Server
from tests.waiting import DEADLINE_SECONDS


def answer_to(client: ClientConnection, login: str = "40") -> str:
    """Log in; give what is answered."""
    client.send(login)
    return str(client.recv(DEADLINE_SECONDS))


@contextlib.contextmanager
def socket(
    server: Server, conversation_id: str, *logins: str, headers: dict[str, str] | None = None
) -> Iterator[ClientConnection]:
    """Give a websocket that Engine.IO has let in; after a login, one that Socket.IO has too."""
    query = f"EIO=4&transport=websocket&conversation_id={conversation_id}&latest_event_id=-1"
    url = f"ws://127.0.0.1:{server.port}/socket.io/?{query}"
    with connect(url, proxy=None, max_size=None, additional_headers=headers or {}) as client:
        assert str(client.recv(DEADLINE_SECONDS)).startswith("0{")
        for login in logins:
            assert answer_to(client, login).startswith('40{"sid"')
        yield client
