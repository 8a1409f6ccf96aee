"""A server with people and rows, and a browser, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accounts.people import People
from tests.admin.browsing import Person, chromium
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import CALM, Server

_SEED = "from tests.admin.seed import seed; seed()"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("console")
    server = Server(
        folder,
        entry=CALM,
        AUTH_MODE="accounts",
        ALLOWED_HOSTS="127.0.0.1",
        LLM_BASE_URL_ALLOW="127.0.0.1",
        REQUEST_THROTTLE="off",
    )
    server.start()
    made = People(server, llm)
    made.manage("shell", "--no-imports", "-c", _SEED)
    yield made
    server.stop()


@pytest.fixture(scope="module")
def persons(people: People) -> Iterator[dict[str, Person]]:
    """Give a viewer and an operator; no page of theirs may have gone wrong."""
    with chromium() as browser:
        made = {name: Person(browser, people.server, name) for name in ("viewer", "operator")}
        yield made
        problems = {name: person.problems for name, person in made.items() if person.problems}
        assert not problems


@pytest.fixture
def viewer(persons: dict[str, Person]) -> Person:
    return persons["viewer"]


@pytest.fixture
def operator(persons: dict[str, Person]) -> Person:
    return persons["operator"]
