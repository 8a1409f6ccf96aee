"""The watch over clients that go away or stand still, around an application of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from project.client_watch import ClientWatch

PATIENT = 60.0


class Server:
    """What a server gives an application: messages from a client, and a way back to it."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(message)


async def test_a_client_that_goes_is_noticed_and_gets_nothing_more() -> None:
    server = Server()
    async with ClientWatch(server.receive, server.send, seconds=PATIENT) as watch:
        assert (await watch.receive())["type"] == "http.request"
        await watch.send({"type": "http.response.start"})
        assert not watch.gone.is_set()
        await server.incoming.put({"type": "http.request", "body": b"", "more_body": False})
        await server.incoming.put({"type": "http.disconnect"})
        async with asyncio.timeout(10):
            assert (await watch.receive())["type"] == "http.disconnect"
        assert watch.gone.is_set()
        await watch.send({"type": "http.response.body"})
    assert [message["type"] for message in server.sent] == ["http.response.start"]


async def test_a_client_that_stands_still_is_given_up() -> None:
    server = Server()
    server.takes.clear()
    async with ClientWatch(server.receive, server.send, seconds=0.05) as watch:
        async with asyncio.timeout(10):
            await watch.send({"type": "http.response.body"})
        assert watch.gone.is_set()
        server.takes.set()
        await watch.send({"type": "http.response.body"})
    assert server.sent == []


async def test_the_end_of_the_application_ends_the_watch() -> None:
    server = Server()
    before = asyncio.all_tasks()
    async with ClientWatch(server.receive, server.send, seconds=PATIENT) as watch:
        await watch.send({"type": "http.response.start"})
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert len(server.sent) == 1
