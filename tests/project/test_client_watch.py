"""The watch over clients that go away or stand still, around an application of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from project.client_watch import LEAST_RATE, ClientWatch
from tests.hasty_loop import HastyLoop, let_pass

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


class SlowServer(Server):
    """Its client takes a second for each message."""

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        let_pass(1.0)
        await super().send(message)


@pytest.mark.parametrize(
    ("size", "taken"), [(LEAST_RATE, 500), (LEAST_RATE // 2, 120), (1, 61)], ids=str
)
def test_a_client_has_to_take_so_much_a_second_on_the_whole(size: int, taken: int) -> None:
    async def download() -> int:
        server = SlowServer()
        async with ClientWatch(server.receive, server.send, seconds=PATIENT) as watch:
            for _ in range(500):
                await watch.send({"type": "http.response.body", "body": bytes(size)})
        return len(server.sent)

    with asyncio.Runner(loop_factory=HastyLoop) as runner:
        assert runner.run(download()) == pytest.approx(taken, abs=2)


async def test_the_end_of_the_application_ends_the_watch() -> None:
    server = Server()
    before = asyncio.all_tasks()
    async with ClientWatch(server.receive, server.send, seconds=PATIENT) as watch:
        await watch.send({"type": "http.response.start"})
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert len(server.sent) == 1
