"""A careful client of a deployment under fire: it asks again, and remembers what was accepted."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

#: Seconds that one request may take: a frozen process never answers.
_PATIENCE: Final = 3.0
_PAUSE: Final = 0.1
#: Seconds without any answer, after which nobody answers any more.
_LONGEST: Final = 120.0


class Api:
    """REST on whichever web process answers."""

    def __init__(self, session: aiohttp.ClientSession, ports: Sequence[int]) -> None:
        self._session = session
        self._ports = ports

    def address(self) -> str:
        """Give the address of one of them."""
        return f"http://127.0.0.1:{random.choice(self._ports)}"  # noqa: S311  # no secret

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Ask until a 200 comes; whoever stores anything names an Idempotency-Key.

        Raises TimeoutError where none comes in two minutes.
        """
        async with asyncio.timeout(_LONGEST):
            return await self._ask(method, path, body, headers)

    async def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        while True:
            try:
                async with self._session.request(
                    method,
                    self.address() + path,
                    json=body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=_PATIENCE),
                ) as answer:
                    if answer.status == 200:  # noqa: PLR2004  # OK
                        return await answer.json()
                    if answer.status < 500:  # noqa: PLR2004  # it is not away, it refuses
                        message = f"{method} {path}: {answer.status} {await answer.text()}"
                        raise AssertionError(message)
            except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError):
                pass
            await asyncio.sleep(_PAUSE)

    async def create(self, body: dict[str, Any]) -> str:
        """Create a conversation, once, however often it takes to hear of it."""
        key = {"Idempotency-Key": uuid4().hex}
        return str((await self.ok("POST", "/api/conversations", body, **key))["conversation_id"])

    async def wait_for_rest(self, conversation_id: str, *, over: asyncio.Event) -> bool:
        """Whether nothing runs and nothing is wanted, at last two minutes after the last blow."""
        path = f"/api/conversations/{conversation_id}"
        left = _LONGEST
        while (await self.ok("GET", path))["status"] != "STOPPED":
            if left <= 0:
                return False
            left -= _PAUSE if over.is_set() else 0
            await asyncio.sleep(_PAUSE)
        return True


class Follower:
    """Follows a conversation through every cut, from the last id that it has seen."""

    def __init__(self, api: Api, conversation_id: str) -> None:
        self._api = api
        self._id = conversation_id
        self._socket = socketio.AsyncClient(reconnection=False)
        self._heard = asyncio.Event()
        #: As they came, over all connections.
        self.ids: list[int] = []

    async def follow(self) -> None:
        """Stay connected until cancelled; a silent connection is taken for a dead one."""
        while True:
            # Ours, for each connection: the library leaves its own open where it did not connect.
            async with aiohttp.ClientSession() as session:
                try:
                    await self._listen(session)
                finally:
                    await self._disconnect()
            await asyncio.sleep(_PAUSE)

    async def has_seen(self, event_id: int) -> None:
        """Return when this event has come."""
        while not self.ids or self.ids[-1] < event_id:  # noqa: ASYNC110  # the event is reset
            await asyncio.sleep(_PAUSE)

    async def say(self, text: str) -> bool:
        """Send a message, once; whether it was accepted."""
        with suppress(SocketIOError, aiohttp.ClientError, TimeoutError, OSError):
            said = await self._socket.call(
                "oh_user_action",
                {"action": "message", "args": {"content": text}},
                timeout=_PATIENCE,
            )
            return isinstance(said, dict) and said.get("status") == "ok"
        return False

    async def _listen(self, session: aiohttp.ClientSession) -> None:
        with suppress(SocketIOError, aiohttp.ClientError, TimeoutError, OSError):
            await self._connect(session)
            while True:
                self._heard.clear()
                async with asyncio.timeout(_PATIENCE):
                    await self._heard.wait()

    async def _connect(self, session: aiohttp.ClientSession) -> None:
        self._socket = socketio.AsyncClient(reconnection=False, http_session=session)
        self._socket.on("oh_event", self._keep)
        latest = self.ids[-1] if self.ids else -1
        query = f"/?conversation_id={self._id}&latest_event_id={latest}"
        async with asyncio.timeout(_PATIENCE):
            await self._socket.connect(self._api.address() + query, transports=["websocket"])

    async def _disconnect(self) -> None:
        with suppress(SocketIOError, aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(_PATIENCE):
                await self._socket.disconnect()

    async def _keep(self, event: dict[str, Any]) -> None:
        if "id" in event:
            self.ids.append(int(event["id"]))
        self._heard.set()
