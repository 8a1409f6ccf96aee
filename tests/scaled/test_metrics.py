"""A worker's own /metrics: who gets it, that it counts the worker's work, and where it ends."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.postgresql import needs_postgresql
from tests.scripted_llm import ScriptedLLMServer, finish, run
from tests.serving import Server, free_port
from tests.waiting import DEADLINE_SECONDS, until_true
from tests.workers import Worker

pytestmark = needs_postgresql

TOKEN = "scrape-0123456789-of-a-worker"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def metered(web: Server, port: int) -> Iterator[Worker]:
    made = Worker(web, "--metrics-port", str(port), METRICS_TOKEN=TOKEN)
    made.start()
    until_true(lambda: _is_up(port), seconds=60)
    yield made
    made.kill()


def _ask(
    port: int, path: str = "/metrics", *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()


def _is_up(port: int) -> bool:
    try:
        return _ask(port, **GOOD)[0] == 200
    except OSError:
        return False


def _scrape(port: int) -> dict[str, float]:
    """Give each sample's sum over its labels."""
    status, headers, text = _ask(port, **GOOD)
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def test_a_worker_counts_what_it_does(
    web: Server, metered: Worker, port: int, llm: ScriptedLLMServer
) -> None:
    llm.script([run("echo counted"), finish("Done.")], marker="[metered worker]")
    before = _scrape(port)
    assert web.wait_for_rest(web.create("Work. [metered worker]")) == "finished"
    after = _scrape(port)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["handrail_turn_wait_seconds_count"] == 1
    assert grown["handrail_llm_answer_seconds_count"] >= 2
    assert grown["handrail_events_appended_total"] >= 4
    assert after["handrail_database_up"] == 1
    assert after["handrail_sweep_age_seconds"] < 60
    assert "handrail_loops" in after
    assert "process_cpu_seconds_total" in after


def test_only_who_has_the_token_gets_them_and_only_there(metered: Worker, port: int) -> None:
    for given in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
        status, headers, text = _ask(port, **given)
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
        assert "handrail_" not in text
    assert _ask(port, "/", **GOOD)[0] == 404
    assert _ask(port, method="HEAD", **GOOD)[::2] == (200, "")
    assert "handrail_" not in _ask(port, method="POST", **GOOD)[2]
    assert TOKEN not in metered.log


def test_silent_connections_keep_no_scraper_out_for_ever(metered: Worker, port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        until_true(lambda: _is_up(port), seconds=30)


def test_they_end_with_the_worker(metered: Worker, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as silent:
        assert metered.stop() == 0
        silent.settimeout(DEADLINE_SECONDS)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
    assert "Traceback" not in metered.log
    with pytest.raises(ConnectionRefusedError):
        _ask(port, **GOOD)
