"""A server that runs no turns, and a worker beside it, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server
from tests.workers import Worker


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Server]:
    """Give a running server without a worker."""
    made = Server(
        tmp_path_factory.mktemp("web"),
        EXECUTOR="procrastinate",
        MAX_CONCURRENT_CONVERSATIONS="50",
        LEASE_SECONDS="3",
    )
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def worker(web: Server) -> Iterator[Worker]:
    """Give a running worker beside it."""
    made = Worker(web)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def start_worker(web: Server) -> Iterator[Callable[..., Worker]]:
    """Give what starts one more worker; none of them is left."""
    started: list[Worker] = []

    def start_one(**environment: str) -> Worker:
        made = Worker(web, **environment)
        started.append(made)
        made.start()
        return made

    yield start_one
    for made in started:
        made.kill()
