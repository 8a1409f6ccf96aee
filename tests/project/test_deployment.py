"""What deploys Handrail: the compose file's commands in its order, the image, the systemd unit."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
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
#: Characters that would have to be escaped in an address.
GIVEN = {"POSTGRES_PASSWORD": "p@ss:/w#rd", "ALLOWED_HOSTS": HOST}
TOOL = shutil.which("docker-compose")


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
    port: int

    def run(self, words: list[str], service: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start a command with the environment that its container would have."""
        own = {name: value for name, value in service["environment"].items() if value}
        data_dir = self.folder / "data"
        data_dir.mkdir(exist_ok=True)
        environment = {**image_environment(), **own, "HOME": str(data_dir)}
        environment["DATA_DIR"] = str(data_dir)
        environment["PATH"] = f"{handrail_in(self.folder / 'bin')}:{os.defpath}"
        server = urlsplit(settings.TEST_DATABASE_URL)
        environment["PGPORT"] = str(server.port or 5432)
        if url := own.get("DATABASE_URL"):
            assert urlsplit(url).netloc == "handrail@postgres"
            environment["DATABASE_URL"] = f"postgresql://{self.role}@{server.hostname}/{self.role}"
        here = {"0.0.0.0": "127.0.0.1", "http://127.0.0.1:3000": self.address}  # noqa: S104
        command = [here.get(word, word) for word in words]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # our own commands
                command, cwd=data_dir, env=environment, stdout=log, stderr=log
            )

    def done(self, words: list[str], service: dict[str, Any]) -> int:
        """Run a command to its end; give its exit code."""
        return self.run(words, service).wait(100)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self, path: str) -> int:
        """Ask as the proxy in front does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"Host": HOST})
        status = connection.getresponse().status
        connection.close()
        return status


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


@pytest.mark.skipif(not settings.TEST_DATABASE_URL, reason="docker-compose.yml is of PostgreSQL")
@needs_postgresql_tools
def test_the_commands_of_the_compose_file_work_in_its_order(tmp_path: Path) -> None:
    services = services_in_order()
    assert list(services) == ["postgres", "migrate", "web"]
    postgres, migrate, web = services.values()
    with _owned_database() as role:
        containers = Containers(tmp_path, role, free_port())
        assert containers.done(postgres["healthcheck"]["test"][1:], postgres) == 0
        assert migrate["depends_on"]["postgres"]["condition"] == "service_healthy"
        assert containers.done([*image("ENTRYPOINT"), *migrate["command"]], migrate) == 0
        assert web["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        serve = [*image("ENTRYPOINT"), *image("CMD"), "--port", str(containers.port)]
        server = containers.run(serve, web)
        try:
            log = tmp_path / "log"
            until_true(lambda: "Handrail listens" in log.read_text(), seconds=60)
            assert containers.done(image("HEALTHCHECK"), web) == 0, log.read_text()
            assert containers.status("/ready") == 200
            assert containers.status("/api/conversations") == 401
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "handrail.service"
    text = (ROOT / "deploy" / "handrail.service").read_text()
    # It looks whether the program is there.
    unit.write_text(text.replace("/opt/handrail/bin/handrail", "/bin/true"))
    done = subprocess.run(  # noqa: S603
        ["systemd-analyze", "verify", str(unit)],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
