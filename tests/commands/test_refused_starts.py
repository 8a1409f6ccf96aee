"""What the command line does not start with, in words; no database has to do with it."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conversations.management.listener import listener_open
from tests.commands.operating import call
from tests.commands.test_commands import data_dir, manage
from tests.serving import free_port

__all__ = ["data_dir"]
OTHER_HOSTS = ["192.0.2.1", "example.org", "::"]


def test_local_mode_listens_on_loopback_only(data_dir: Path) -> None:
    done = manage(data_dir, "serve", "--host", "0.0.0.0")  # noqa: S104
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    refused = [done.stderr, *(call("serve", "--host", host).err for host in OTHER_HOSTS)]
    for host, said in zip(["0.0.0.0", *OTHER_HOSTS], refused, strict=True):  # noqa: S104
        assert f"--host {host}" in said
        assert "AUTH_MODE=accounts" in said


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
