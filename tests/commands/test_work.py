"""`work`: what it refuses, in one line, before anything runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.commands.operating import call, start
from tests.databases import ROOT, database_environment
from tests.postgresql import needs_postgresql, rows
from tests.serving import Server
from tests.waiting import until_true
from tests.workers import Worker

WORK = "work"


@pytest.mark.parametrize("number", ["0", "-1", "5001", "many", "1.5", ""])
def test_a_number_of_turns_that_cannot_be_is_refused(transactional_db: None, number: str) -> None:
    call(WORK, "--concurrency", number).refused("--concurrency", "1 to 5000")


def test_without_a_queue_it_says_what_to_set(transactional_db: None) -> None:
    word = "EXECUTOR=in_process" if settings.TEST_DATABASE_URL else "SQLite"
    call(WORK).refused(word, "EXECUTOR=procrastinate")


def test_sqlite_is_refused_on_the_command_line(tmp_path: Path) -> None:
    done = start(tmp_path, WORK, database={})
    assert (done.code, done.out) == (2, "")
    assert "PostgreSQL" in done.err
    assert len(done.err.splitlines()) == 1


@needs_postgresql
def test_a_database_without_the_queues_tables_is_said(tmp_path: Path) -> None:
    database = database_environment(tmp_path, migrated=False)
    done = start(tmp_path, WORK, database=database, EXECUTOR="procrastinate")
    assert done.code == 1
    assert "run manage.py migrate first" in done.err


@needs_postgresql
def test_a_migration_gives_the_queue_its_index_and_leaves_nothing_to_make(tmp_path: Path) -> None:
    database = database_environment(tmp_path)
    index = "SELECT tablename FROM pg_indexes WHERE indexname = 'handrail_jobs_lock'"
    assert rows(database["DATABASE_URL"], index) == [("procrastinate_jobs",)]
    check = ("makemigrations", "--check", "--dry-run")
    done = start(tmp_path, *check, database=database, EXECUTOR="procrastinate")
    assert (done.code, done.out) == (0, "No changes detected\n")


@pytest.mark.parametrize("number", ["0", "-1", "65536", "many", ""])
def test_a_port_for_metrics_that_cannot_be_is_refused(transactional_db: None, number: str) -> None:
    call(WORK, "--metrics-port", number).refused("--metrics-port", "1 to 65535")


@needs_postgresql
def test_metrics_need_a_token_and_a_free_port(tmp_path: Path) -> None:
    database = database_environment(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = (WORK, "--metrics-port", str(taken.getsockname()[1]))
        queue = {"EXECUTOR": "procrastinate"}
        open_ = start(tmp_path, *arguments, database=database, **queue)
        assert (open_.code, open_.out) == (2, "")
        assert "METRICS_TOKEN" in open_.err
        done = start(tmp_path, *arguments, database=database, METRICS_TOKEN="a" * 20, **queue)
    assert (done.code, done.out) == (1, "")
    assert f"Cannot listen on 127.0.0.1:{arguments[2]}" in done.err
    assert "another --metrics-port" in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Server]:
    """Give a server without a worker, where there is no bubblewrap."""
    server = Server(tmp_path / "data", EXECUTOR="procrastinate", PATH=str(tmp_path))
    server.start()
    yield server
    server.stop()


@needs_postgresql
def test_the_demo_says_that_it_waits_for_a_worker(web: Server) -> None:
    # Only workers have sandboxes.
    assert "W001" not in web.log
    worker = Worker(web, PATH=os.defpath)
    said = web.data_dir / "demo.log"
    with said.open("wb") as log:
        demo = subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "manage.py", "demo", "--port", str(web.port)],
            cwd=ROOT,
            env=web.environment,
            stdout=log,
            stderr=log,
        )
    try:
        until_true(lambda: "manage.py work" in said.read_text())
        worker.start()
        until_true(lambda: demo.poll() is not None, seconds=60)
    finally:
        demo.kill()
        demo.wait()
        worker.kill()
    assert demo.returncode == 0, said.read_text()
