"""/health, /alive and /ready, of a server that has all it needs, and of one that lost something."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests.outage import database_away
from tests.serving import CALM, Server
from tests.waiting import until_true

SCRAPE = "scrape-0123456789-of-health"
READY = {"database": "ok", "executor": "ok", "data_directory": "ok"}


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "data", entry=CALM, METRICS_TOKEN=SCRAPE)
    made.start()
    yield made
    made.kill()


def test_a_server_answers_that_it_lives_and_is_ready(server: Server) -> None:
    assert server.call("GET", "/health") == (200, "OK")
    assert server.call("GET", "/alive") == (200, "OK")
    assert server.call("GET", "/ready") == (200, {"status": "ok", "checks": READY})


def _take_a_migration_away(server: Server) -> None:
    """Make the database one of an older version, as after a deploy without `migrate`."""
    statement = "DELETE FROM django_migrations WHERE app = 'conversations'"
    if url := server.database.get("DATABASE_URL"):
        with psycopg.connect(url) as connection:
            connection.execute(statement)
    else:
        with closing(sqlite3.connect(server.data_dir / "handrail.sqlite3")) as connection:
            connection.execute(statement)
            connection.commit()


def test_it_says_which_part_is_missing_and_why_in_the_log(lonely: Server) -> None:
    _take_a_migration_away(lonely)
    until_true(lambda: lonely.call("GET", "/ready")[0] == 503)
    _, answer = lonely.call("GET", "/ready")
    told = "does not answer, or lacks migrations"
    assert answer == {"status": "unavailable", "checks": {**READY, "database": told}}
    assert "run manage.py migrate first" in lonely.log
    assert lonely.call("GET", "/health") == (200, "OK")


def metrics(server: Server) -> str:
    request = Request(f"{server.address}/metrics", headers={"Authorization": f"Bearer {SCRAPE}"})  # noqa: S310  # our own
    with urlopen(request, timeout=20) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_it_is_not_ready_without_its_database_and_ready_again_with_it(lonely: Server) -> None:
    assert lonely.call("GET", "/ready")[0] == 200
    with database_away(lonely):
        until_true(lambda: lonely.call("GET", "/ready")[0] == 503)
        assert lonely.call("GET", "/ready")[1]["checks"]["data_directory"] == "ok"
        assert lonely.call("GET", "/alive") == (200, "OK")
        for method, path in (("GET", "/api/conversations"), ("POST", "/api/conversations")):
            status, answer = lonely.call(method, path, {"initial_user_msg": "hello"})
            assert (status, "does not answer" in answer["message"]) == (503, True)
        # What this process has counted is told all the same.
        told = metrics(lonely)
        assert "handrail_database_up 0.0" in told
        assert "handrail_http_request_seconds_count{" in told
        assert "handrail_loops{" not in told
    until_true(lambda: lonely.call("GET", "/ready")[0] == 200)
