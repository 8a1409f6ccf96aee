"""`healthcheck`: one line and an exit code, within its deadline."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from conversations.models import SweepRun
from conversations.services.sweep_runs import process_name, sweep_begin
from tests.commands.operating import call, start
from tests.databases import database_environment
from tests.serving import Server, free_port

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

HEALTH = "healthcheck"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--url", "localhost"], "'localhost'"),
        (["--url", "ftp://localhost"], "http://127.0.0.1:3000"),
        (["--url", "http://localhost:99999"], "99999"),
        (["--url", "http://user:pass@localhost"], "http://127.0.0.1:3000"),
        (["--deadline", "soon"], "'soon'"),
        (["--dry-run"], "--dry-run"),
    ],
)
def test_bad_arguments_are_one_line(
    transactional_db: None, arguments: list[str], word: str
) -> None:
    call(HEALTH, *arguments).refused(word)


def test_all_is_well_and_a_second_time_too(transactional_db: None) -> None:
    for _ in range(2):
        done = call(HEALTH)
        assert (done.code, done.out, done.err) == (0, "OK: data directory, database.\n", "")
    report = call(HEALTH, "--json").json
    assert report["healthy"] is True
    assert report["passed"] == ["data directory", "database"]


def test_a_running_server_is_asked(server: Server) -> None:
    done = start(server.data_dir, HEALTH, "--url", server.address, database=server.database)
    assert (done.code, done.out) == (0, "OK: data directory, database, server.\n")


class _OfOneName(BaseHTTPRequestHandler):
    """A server that is reached under one name only."""

    def do_GET(self) -> None:
        is_asked = self.headers["Host"] == "example.org"
        self.send_response(HTTPStatus.OK if is_asked else HTTPStatus.FORBIDDEN)
        self.end_headers()
        self.wfile.write(b'"OK"')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("allowed", [["example.org", ".a.example"], [".example.org"]])
def test_a_server_is_asked_under_a_name_that_is_allowed(
    transactional_db: None, settings: Settings, allowed: list[str]
) -> None:
    settings.AUTH_MODE, settings.ALLOWED_HOSTS = "accounts", allowed
    with HTTPServer(("127.0.0.1", 0), _OfOneName) as one:
        one.timeout = 20
        thread = threading.Thread(target=one.handle_request)
        thread.start()
        done = call(HEALTH, "--url", f"http://127.0.0.1:{one.server_port}")
        thread.join()
    assert (done.code, done.out) == (0, "OK: data directory, database, server.\n"), done.err


def test_a_worker_is_asked_for_by_its_heartbeat(transactional_db: None) -> None:
    elsewhere = SweepRun(process="other-machine:1", started_at=LONG_AGO, last_run_at=Now())
    elsewhere.save()
    done = call(HEALTH, "--worker")
    assert (done.code, done.out) == (1, "")
    assert "No worker on this machine" in done.err
    sweep_begin(process=process_name())
    assert call(HEALTH, "--worker").out == "OK: data directory, database, worker.\n"
    SweepRun.objects.update(last_run_at=timezone.now() - timedelta(seconds=20))
    assert call(HEALTH, "--worker", "--json").json["passed"] == ["data directory", "database"]


def test_a_server_that_is_not_there_is_said(transactional_db: None) -> None:
    done = call(HEALTH, "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.code, done.out) == (1, "")
    assert "does not answer" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_data_directory_that_is_gone_is_said(
    transactional_db: None, settings: Settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path / "gone"
    done = call(HEALTH, "--json")
    assert done.code == 1
    assert done.json["healthy"] is False
    assert "DATA_DIR" in done.json["problem"]


def test_missing_migrations_are_said(tmp_path: Path) -> None:
    database = database_environment(tmp_path, migrated=False)
    done = start(tmp_path, HEALTH, database=database)
    assert done.code == 1
    assert "run manage.py migrate first" in done.err


def test_a_database_that_hangs_is_left_at_the_deadline(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        done = start(tmp_path, HEALTH, "--deadline", "0.3", database={"DATABASE_URL": url})
    assert (done.code, done.out) == (1, "")
    assert done.err == "CommandError: The database has not answered in 0.3 seconds.\n"
