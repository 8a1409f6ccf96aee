"""A server on a PostgreSQL of its own, which can be stopped, filled up and cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings

from chaos.store import PostgreSQLStore, postgresql_store, programs_find
from tests.databases import migrate
from tests.faults.network import Network
from tests.scripted_llm import ScriptedLLMServer
from tests.secrets_search import search_and_forget
from tests.serving import Server

#: Short, so that a test need not wait long; the proportions are those of the defaults.
TIMEOUTS = {
    "LEASE_SECONDS": "2",
    "DATABASE_CONNECT_TIMEOUT": "2",
    "DATABASE_NETWORK_TIMEOUT": "1",
    "DATABASE_STATEMENT_TIMEOUT": "2",
    "DATABASE_LOCK_TIMEOUT": "1",
    "DATABASE_IDLE_TIMEOUT": "1",
    "WEB_THREADS": "16",
}


@dataclass(frozen=True)
class Exposed:
    """A server and all that is between it and its data."""

    server: Server
    store: PostgreSQLStore
    network: Network


@pytest.fixture(scope="session")
def exposed(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Exposed]:
    """Give a server whose database can be struck; each test leaves it working."""
    if not settings.TEST_DATABASE_URL:
        pytest.skip("SQLite has no server and no network to strike: this is for PostgreSQL")
    try:
        programs_find()
    except RuntimeError as missing:
        if settings.REQUIRE_POSTGRESQL:
            raise
        pytest.skip(str(missing))
    with postgresql_store() as store:
        network = Network(store.port)
        place = {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{network.port}/postgres"}
        folder = tmp_path_factory.mktemp("exposed")
        migrate({"DATA_DIR": str(folder), **place})
        server = Server(folder, beside=place, MAX_CONCURRENT_CONVERSATIONS="50", **TIMEOUTS)
        server.start()
        server.use_model(llm.base_url)
        yield Exposed(server, store, network)
        server.kill()
        search_and_forget(place["DATABASE_URL"])
        network.close()
