"""What every test may ask for. Doubles are real, typed objects; databases are real databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asgiref.sync import SyncToAsync
from django.db import connections

from settings_app.models import User
from settings_app.services import local_user_get
from tests.databases import databases_drop
from tests.scripted_llm import ScriptedLLMServer
from tests.secrets_search import found
from tests.serving import CALM, Server


@pytest.fixture(scope="session", autouse=True)
def _database_thread_lets_go(django_db_setup: None) -> Iterator[None]:
    """Close the connection of the thread that async code shares before its database is dropped."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result(timeout=10)


@pytest.fixture(scope="session", autouse=True)
def _no_secret_is_left_and_server_databases_go() -> Iterator[None]:
    yield
    try:
        assert not found(), f"secrets in plain text: {found()}"
    finally:
        databases_drop()


@pytest.fixture(scope="session")
def llm() -> Iterator[ScriptedLLMServer]:
    """Give a scripted provider; each test scripts it under a marker of its own."""
    with ScriptedLLMServer() as server:
        yield server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Server]:
    """Give a running server whose user has settings that name the scripted provider."""
    made = Server(tmp_path_factory.mktemp("server"), MAX_CONCURRENT_CONVERSATIONS="50")
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def bare_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a running server whose user has stored nothing yet; its tests leave it so."""
    made = Server(tmp_path_factory.mktemp("bare-server"), entry=CALM)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def user(transactional_db: None) -> User:
    return local_user_get()
