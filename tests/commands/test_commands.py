"""The command line: what it starts, and what it refuses in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import ROOT, database_environment
from tests.serving import CALM, Server, free_port

#: What the environment says of the database of a data directory.
_DATABASES: dict[Path, dict[str, str]] = {}


def manage(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    database = _DATABASES.get(data_dir, {})
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "DATA_DIR": str(data_dir), **database, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    _DATABASES[folder] = database_environment(folder)
    return folder


def test_a_database_that_was_not_migrated_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    _DATABASES[folder] = database_environment(folder, migrated=False)
    done = manage(folder, "serve", "--port", str(free_port()))
    assert done.returncode == 1
    assert "run manage.py migrate first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "running", entry=CALM)
    server.start()
    yield server
    server.stop()


def test_the_demo_shows_a_task_to_its_finish_on_a_running_server(running: Server) -> None:
    done = manage(running.data_dir, "demo", "--port", str(running.port))
    assert done.returncode == 0, done.stderr
    assert "checked: (900 + 1100 + 1000) / 3 = 1000" in done.stdout
    assert "finished" in done.stdout
    assert f"http://127.0.0.1:{running.port}/api/conversations" in done.stdout
    assert "\x1b[" not in done.stdout, "no colours where nobody sees them"
    conversation_id = running.ok("GET", "/api/conversations")["results"][0]["conversation_id"]
    again = manage(
        running.data_dir, "demo", "--port", str(running.port), "--follow", conversation_id
    )
    assert again.returncode == 0, again.stderr
    assert "checked: (900 + 1100 + 1000) / 3 = 1000" in again.stdout
    unknown = manage(running.data_dir, "demo", "--port", str(running.port), "--follow", "0" * 32)
    assert unknown.returncode == 1
    assert "This conversation does not exist" in unknown.stderr


def test_the_demo_starts_a_server_that_outlives_it(data_dir: Path) -> None:
    port = free_port()
    done = manage(data_dir, "demo", "--port", str(port))
    assert done.returncode == 0, done.stderr
    pid = int(done.stdout.rsplit("kill ", 1)[1])
    os.kill(pid, 0)
    os.kill(pid, signal.SIGTERM)


def test_djangos_option_for_other_settings_is_heard(data_dir: Path) -> None:
    done = manage(data_dir, "show_settings", "--settings=project.none")
    assert done.returncode != 0
    assert "project.none" in done.stderr
