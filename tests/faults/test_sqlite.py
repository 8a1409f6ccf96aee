"""SQLite's file may not grow any more; nothing is lost, doubled or stuck by it."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from tests.faults.work import Work
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server
from tests.waiting import until_true

pytestmark = pytest.mark.skipif(
    bool(settings.TEST_DATABASE_URL), reason="PostgreSQL has its own tests of this"
)


@pytest.fixture
def server(tmp_path: Path, llm: ScriptedLLMServer) -> Iterator[Server]:
    made = Server(tmp_path / "data", LEASE_SECONDS="1")
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.kill()


@contextmanager
def no_room(server: Server) -> Iterator[None]:
    """Let no file of the server's grow beyond what its log of writes has already."""
    limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    size = (server.data_dir / "handrail.sqlite3-wal").stat().st_size
    assert size > 100_000, "the server's own log has to have room"
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)


async def test_where_there_is_no_room_nothing_is_done_that_cannot_be_stored(
    server: Server, llm: ScriptedLLMServer
) -> None:
    work = Work(server, llm, "[full]", steps=6)
    await work.client.connect()
    work.until_effects(4)
    with no_room(server):
        until_true(lambda: "turn_cut_off" in server.log)
        done = len(work.effects())
        told = await work.client.act("message", content="Is it stored?")
        assert told["code"] == "not_stored"
        status, answer = await asyncio.to_thread(
            server.call, "POST", "/api/conversations", {"initial_user_msg": "Begin."}
        )
        assert (status, "does not answer" in answer["message"]) == (503, True)
        until_true(lambda: "turn_not_run" in server.log)
        assert len(work.effects()) == done
    log = await work.until_rest()
    assert "Is it stored?" not in str(log)
