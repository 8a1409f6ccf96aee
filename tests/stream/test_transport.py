"""How long a websocket is let in: before a login, with one, after it, and how many of one user."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio

from conversations.services.conversations import conversation_create
from conversations.stream.server import LOGIN_SECONDS, Stream
from conversations.stream.transport import Transports
from settings_app.models import User
from tests.hasty_loop import HastyLoop, let_pass


class Browser:
    """A websocket of Socket.IO's, from the server's side."""

    def __init__(self, conversation_id: str = "") -> None:
        self._query = f"EIO=4&transport=websocket&conversation_id={conversation_id}"
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        app = socketio.ASGIApp(Stream().sio)
        self._app = Transports(app, seconds=LOGIN_SECONDS)

    def open(self) -> asyncio.Task[None]:
        """Connect; the task ends with the connection."""
        scope = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": self._query.encode(),
            "headers": [(b"connection", b"upgrade"), (b"upgrade", b"websocket")],
        }
        return asyncio.create_task(
            self._app(scope, self._incoming.get, self._sent.put)  # type: ignore[arg-type]
        )

    def say(self, text: str) -> None:
        """Send a frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self, beginning: str) -> dict[str, Any]:
        """Wait for a frame that begins like this, or for a message of this type."""
        async with asyncio.timeout(9):
            while True:
                message = await self._sent.get()
                if (message.get("text") or message["type"]).startswith(beginning):
                    return message


def run(main: Any) -> None:
    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        runner.run(main)


def test_a_connection_that_never_logs_in_is_ended() -> None:
    async def never() -> None:
        browser = Browser()
        connection = browser.open()
        await browser.hear("0{")
        let_pass(LOGIN_SECONDS + 1)
        await browser.hear("websocket.close")
        await connection

    run(never())


def test_one_that_was_refused_is_ended_though_it_tries_again(transactional_db: None) -> None:
    async def refused() -> None:
        browser = Browser("0" * 32)
        connection = browser.open()
        for _ in range(3):
            browser.say("40")
            await browser.hear("44{")
        let_pass(LOGIN_SECONDS + 1)
        browser.say("40")
        await browser.hear("websocket.close")
        await connection

    run(refused())


def test_one_that_has_logged_in_stays_until_it_has_left(user: User) -> None:
    conversation = conversation_create(owner=user, recording=[])

    async def stays() -> None:
        browser = Browser(conversation.pk.hex)
        connection = browser.open()
        browser.say("40")
        await browser.hear("40{")
        for _ in range(2):
            let_pass(LOGIN_SECONDS + 1)
            browser.say('421["oh_user_action",{"action":"fly"}]')
            await browser.hear("431[")
        browser.say("41")
        browser.say("3")
        await asyncio.sleep(0)
        assert not connection.done()
        for _ in range(int(LOGIN_SECONDS) + 5):
            let_pass(1)
            await asyncio.sleep(0.01)
        await browser.hear("websocket.close")
        await connection

    run(stays())
