"""The command line: what it starts, and what it refuses in words."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conversations.management.listener import listener_open
from tests.databases import ROOT, database_environment
from tests.serving import Server, free_port

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


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])  # noqa: S104
def test_local_mode_listens_on_loopback_only(data_dir: Path, host: str) -> None:
    done = manage(data_dir, "serve", "--host", host)
    assert done.returncode == 1
    assert f"--host {host}" in done.stderr
    assert "AUTH_MODE=accounts" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_bubblewrap_refuses_and_names_the_package(
    data_dir: Path, tmp_path: Path
) -> None:
    done = manage(data_dir, "serve", "--port", str(free_port()), PATH=str(tmp_path))
    assert done.returncode == 1
    assert "install the package `bubblewrap`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_network_for_sandboxes_is_refused_before_the_server_listens(data_dir: Path) -> None:
    done = manage(data_dir, "serve", "--port", str(free_port()), SANDBOX_NETWORK="on")
    assert done.returncode == 1
    assert "handrail.E006: SANDBOX_NETWORK is on" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "listens" not in done.stdout


def test_a_database_that_was_not_migrated_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    _DATABASES[folder] = database_environment(folder, migrated=False)
    done = manage(folder, "serve", "--port", str(free_port()))
    assert done.returncode == 1
    assert "run manage.py migrate first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATA_DIR", "/usr/share/handrail"),
        ("DATA_DIR", "/proc/nothing"),
        ("LEASE_SECONDS", "soon"),
        ("AUTH_MODE", "open"),
        ("DATABASE_URL", "nonsense"),
    ],
)
def test_a_wrong_setting_is_named_without_a_traceback(
    tmp_path: Path, name: str, value: str
) -> None:
    done = manage(tmp_path / "data", "check", **{name: value})
    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = manage(data_dir, "serve", "--port", port, LEASE_SECONDS="2")
    assert done.returncode == 1
    # A warning is a line, and no reason not to start.
    warning, refusal = done.stderr.splitlines()
    assert "handrail.W004: LEASE_SECONDS=2" in warning
    assert f"127.0.0.1:{port}" in refusal
    assert "Traceback" not in done.stderr


def test_answers_leave_at_once_on_kept_connections() -> None:
    """Nagle's algorithm would hold each answer's body back for 40 ms; asyncio looks at `proto`."""
    with listener_open("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_the_kernel_ends_a_connection_of_which_nothing_is_taken() -> None:
    with (
        listener_open("127.0.0.1", 0, stalled_seconds=0.5) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        accepted.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted.send(bytes(65536))
        broken = select.poll()
        broken.register(accepted, 0)
        assert broken.poll(20_000)


def test_the_demo_does_not_use_what_is_no_handrail(data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        other.close()
    server = subprocess.Popen(  # noqa: S603  # the standard library's file server
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=data_dir,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        done = manage(data_dir, "demo", "--port", str(port))
        while "did not start" in done.stderr:  # it was not up yet
            done = manage(data_dir, "demo", "--port", str(port))
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 1
    assert f"PORT={port + 1}" in done.stderr


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "running")
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
