"""What deploys Handrail: the compose file's commands in its order, the image, the systemd unit."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import yaml
from django.conf import settings
from psycopg import sql

from tests.commands.operating import handrail_in
from tests.databases import ROOT, needs_postgresql_tools
from tests.serving import free_port
from tests.waiting import until_true

COMPOSE = ROOT / "docker-compose.yml"
HOST = "handrail.example.org"
#: Characters that would have to be escaped in an address; a name that nobody can ask for.
GIVEN = {"POSTGRES_PASSWORD": "p@ss:/w#rd", "ALLOWED_HOSTS": ".example.org"}
TOOL = shutil.which("docker-compose")
#: What docs/scaling.md says of connections, and how long a worker's commands may take to end.
CONNECTIONS = {"web-1": 16 + 7, "web-2": 16 + 7, "worker": 7}
GRACE_SECONDS = 30
SECRET_WORD = "kept-in-the-workspace"
MAKE_TOKEN = """
from knox.models import AuthToken
from settings_app.models import User
print(AuthToken.objects.create(user=User.objects.create_user("ada"))[1])
"""
RECORDING = [
    {
        "source": "agent",
        "action": "run",
        "args": {"command": f"echo {SECRET_WORD} | tee kept.txt", "thought": ""},
    },
    {"source": "agent", "action": "finish", "args": {"thought": "Done."}},
]


@pytest.mark.skipif(TOOL is None, reason="docker-compose is not installed")
@pytest.mark.parametrize("missing", [None, *GIVEN])
def test_the_compose_file_is_valid_and_has_no_default_password(missing: str | None) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    done = subprocess.run(  # noqa: S603  # our own file
        [str(TOOL), "--file", str(COMPOSE), "config", "--quiet"],
        env={"PATH": os.defpath, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) == (missing is None), done.stderr
    assert missing is None or f"set {missing}" in done.stderr


def services_in_order() -> dict[str, dict[str, Any]]:
    """Give the services of the compose file, each behind what it depends on."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda m: json.dumps(GIVEN[m[1]]), COMPOSE.read_text())
    assert "${" not in text
    services: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    ordered: dict[str, dict[str, Any]] = {}
    while len(ordered) < len(services):
        ready = [n for n, s in services.items() if set(s.get("depends_on", {})) <= set(ordered)]
        (name, *_) = [n for n in ready if n not in ordered]
        ordered[name] = services[name]
    return ordered


def image(instruction: str) -> list[str]:
    """Give the words that the Dockerfile has for an instruction whose form is JSON."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    found = re.findall(rf"^{instruction}\b.*?(\[.*\])$", text, flags=re.MULTILINE)
    return list(json.loads(found[-1]))


def image_environment() -> dict[str, str]:
    text = (ROOT / "Dockerfile").read_text()
    (line,) = re.findall(r"^ENV (.*)$", text, flags=re.MULTILINE)
    return dict(word.split("=", 1) for word in line.split())


@dataclass(frozen=True)
class Containers:
    """The commands of the compose file as plain processes on this machine."""

    folder: Path
    role: str

    def run(
        self, words: list[str], service: dict[str, Any], *, log: str, port: int = 3000
    ) -> subprocess.Popen[bytes]:
        """Start a command with the environment that its container would have."""
        own = {name: value for name, value in service["environment"].items() if value}
        data_dir = self.folder / "data"
        data_dir.mkdir(exist_ok=True)
        environment = {**image_environment(), **own, "HOME": str(data_dir)}
        environment["DATA_DIR"] = str(data_dir)
        environment["PATH"] = f"{self.folder / 'bin'}:{os.defpath}"
        server = urlsplit(settings.TEST_DATABASE_URL)
        environment["PGPORT"] = str(server.port or 5432)
        if url := own.get("DATABASE_URL"):
            assert urlsplit(url).netloc == "handrail@postgres"
            environment["DATABASE_URL"] = f"postgresql://{self.role}@{server.hostname}/{self.role}"
        here = {"0.0.0.0": "127.0.0.1", "http://127.0.0.1:3000": f"http://127.0.0.1:{port}"}  # noqa: S104
        command = [here.get(word, word) for word in words]
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(  # noqa: S603  # our own commands
                command, cwd=data_dir, env=environment, stdout=file, stderr=file
            )

    def done(self, words: list[str], service: dict[str, Any], **more: Any) -> str:
        """Run a command to its end, which is a good one; give what it said."""
        log = f"done-{uuid4().hex}"
        code = self.run(words, service, log=log, **more).wait(100)
        said = (self.folder / log).read_text()
        assert code == 0, said
        return said

    def healthy(self, service: dict[str, Any], **more: Any) -> None:
        """Check that the container would be healthy."""
        self.done(service["healthcheck"]["test"][1:], service, **more)

    def said(self, words: str, process: subprocess.Popen[bytes], *, log: str) -> None:
        """Wait until a process has written this into its log."""
        file = self.folder / log
        until_true(lambda: process.poll() is not None or words in file.read_text(), seconds=60)
        assert process.poll() is None, file.read_text()


@dataclass(frozen=True)
class Door:
    """The published port of a server, asked as the proxy in front does."""

    port: int
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Host": HOST, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer


@contextmanager
def _owned_database() -> Iterator[str]:
    """Give the name of a role that may do nothing but own the database of that name."""
    name = f"handrail_compose_{uuid4().hex[:12]}"
    with psycopg.connect(settings.TEST_DATABASE_URL, autocommit=True) as connection:
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(role))
        try:
            yield name
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(role))
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def _until_the_end(processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[None]:
    """End what was started, as the engine does; each ends in order."""
    try:
        yield
        for process in processes.values():
            process.terminate()
        ends = {name: process.wait(30) for name, process in processes.items()}
        # Uvicorn ends by the signal that it was told to end with.
        assert set(ends.values()) <= {0, -signal.SIGTERM}, ends
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _starts_behind(service: dict[str, Any], name: str, condition: str) -> bool:
    return bool(service["depends_on"] == {name: {"condition": condition}})


@pytest.mark.skipif(not settings.TEST_DATABASE_URL, reason="docker-compose.yml is of PostgreSQL")
@needs_postgresql_tools
def test_the_commands_of_the_compose_file_work_in_its_order(tmp_path: Path) -> None:
    """What an agent did in a worker, for one server, is there at the other."""
    services = services_in_order()
    postgres, migrate, worker = (services[name] for name in ("postgres", "migrate", "worker"))
    webs = {name: services[name] for name in ("web-1", "web-2")}
    handrail = image("ENTRYPOINT")
    assert _starts_behind(migrate, "postgres", "service_healthy")
    for service in (*webs.values(), worker):
        assert _starts_behind(service, "migrate", "service_completed_successfully")
    with _owned_database() as role:
        containers = Containers(tmp_path, role)
        handrail_in(tmp_path / "bin")
        containers.healthy(postgres)
        containers.done([*handrail, *migrate["command"]], migrate)
        doors = {name: Door(free_port()) for name in webs}
        processes: dict[str, subprocess.Popen[bytes]] = {}
        with _until_the_end(processes):
            for name, web in webs.items():
                words = [*handrail, *web["command"], "--port", str(doors[name].port)]
                processes[name] = containers.run(words, web, log=name)
            for number in range(worker["deploy"]["replicas"]):
                name = f"worker-{number}"
                words = [*handrail, *worker["command"]]
                processes[name] = containers.run(words, worker, log=name)
            make = [*handrail, "shell", "--no-imports", "-c", MAKE_TOKEN]
            token = containers.done(make, worker).split()[-1]
            for name, process in processes.items():
                words_said = "listens" if name in webs else "works"
                containers.said(f"Handrail {words_said}", process, log=name)
            one, other = (Door(door.port, token) for door in doors.values())
            assert Door(one.port).ask("GET", "/api/conversations")[0] == 401
            made = one.ok("POST", "/api/conversations", {"replay_json": json.dumps(RECORDING)})
            path = f"/api/conversations/{made['conversation_id']}"
            until_true(lambda: other.ok("GET", path)["status"] == "STOPPED", seconds=60)
            (ran,) = [
                event
                for event in other.ok("GET", f"{path}/trajectory")["trajectory"]
                if event.get("observation") == "run"
            ]
            assert ran["content"] == SECRET_WORD
            kept = other.ok("GET", f"{path}/select-file?file=kept.txt")
            assert kept == {"code": f"{SECRET_WORD}\n"}
            assert other.ok("GET", "/ready")["status"] == "ok"
            containers.healthy(webs["web-2"], port=other.port)
            containers.healthy(worker)


def test_the_compose_file_leaves_room_for_connections_and_for_ends() -> None:
    services = services_in_order()
    assert set(services) == {"postgres", "migrate", *CONNECTIONS}
    most = int(re.findall(r"max_connections=(\d+)", " ".join(services["postgres"]["command"]))[0])
    kept = [n * services[s].get("deploy", {}).get("replicas", 1) for s, n in CONNECTIONS.items()]
    # A new version beside the old one.
    assert sum(kept) * 2 < most - 10
    grace = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace >= GRACE_SECONDS + 10
    text = (ROOT / "deploy" / "handrail-worker@.service").read_text()
    assert int(re.findall(r"TimeoutStopSec=(\d+)", text)[0]) >= GRACE_SECONDS + 10


def test_only_workers_may_make_sandboxes() -> None:
    free = {n for n, s in services_in_order().items() if "unconfined" in str(s.get("security_opt"))}
    assert free == {"worker"}


def _hardening(unit: str) -> str:
    return (ROOT / "deploy" / unit).read_text().partition("\nOOMPolicy=")[2]


def test_the_units_are_hardened_alike() -> None:
    assert _hardening("handrail.service") == _hardening("handrail-worker@.service") != ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for name in ("handrail.service", "handrail-worker@.service"):
        text = (ROOT / "deploy" / name).read_text()
        # It looks whether the program is there.
        (tmp_path / name).write_text(text.replace("/opt/handrail/bin/handrail", "/bin/true"))
    units = [str(tmp_path / name) for name in ("handrail.service", "handrail-worker@1.service")]
    done = subprocess.run(  # noqa: S603
        ["systemd-analyze", "verify", *units],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
