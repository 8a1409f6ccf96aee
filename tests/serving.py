"""A real server in a process of its own, and real clients of it. No table is touched from here."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import socketio

from conversations.events.states import WORKING_STATES
from tests.databases import ROOT, database_environment
from tests.secrets_search import KEY, assert_tells_no_secret, remember
from tests.waiting import DEADLINE_SECONDS, until_true

JSON = {"Content-Type": "application/json"}
#: The entry of servers that hardly ask a model.
CALM = ("-m", "tests.calm_server")


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`manage.py serve` on a data directory; it can be killed and started again, on its port."""

    def __init__(
        self,
        data_dir: Path,
        *,
        beside: Server | Mapping[str, str] | None = None,
        entry: Sequence[str] = ("manage.py",),
        **environment: str,
    ) -> None:
        """Name the place; a server `beside` another, or a database, shares that database."""
        if beside is None:
            beside = database_environment(data_dir)
        database = beside.database if isinstance(beside, Server) else beside
        self._entry = entry
        self.data_dir = data_dir
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.defpath,
            "HOME": str(data_dir),
            "DATA_DIR": str(data_dir),
            **database,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        remember(data_dir, self.environment.get("DATABASE_URL"))

    @property
    def database(self) -> dict[str, str]:
        """Give what the environment of this server says of its database."""
        url = self.environment.get("DATABASE_URL")
        return {"DATABASE_URL": url} if url else {}

    @property
    def log(self) -> str:
        """Give what the server wrote so far, of all its lives."""
        return (self.data_dir / "test-server.log").read_text()

    @property
    def pid(self) -> int:
        """Give the process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = self._manage("serve", "--port", str(self.port))
        process = self._process
        until_true(lambda: process.poll() is not None or self.is_up(), seconds=60)
        assert process.poll() is None, self.log

    def _manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.data_dir / "test-server.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # our own command line
                [sys.executable, *self._entry, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return self.call("GET", "/health") == (200, "OK")
        except OSError:
            return False

    def has_ended(self) -> bool:
        """Whether its process has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """Kill it with -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(DEADLINE_SECONDS)
            finally:
                process.kill()
                process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Call the API; `body` is sent as JSON, bytes as they are. Give status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        try:
            connection.request(method, path, data, {**JSON, **(headers or {})})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        answer = json.loads(text)
        assert_tells_no_secret(answer)
        return response.status, answer

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API and give the answer of a 200."""
        status, answer = self.call(method, path, body)
        assert status == http.HTTPStatus.OK, (status, answer)
        return answer

    def use_model(self, base_url: str, **fields: Any) -> None:
        """Store settings that name a scripted provider."""
        settings = {"llm_model": "openai/scripted", "llm_api_key": KEY}
        self.ok("POST", "/api/settings", {**settings, "llm_base_url": base_url, **fields})

    def create(self, message: str = "Do it.", **fields: Any) -> str:
        """Create a conversation and give its id."""
        body = {"initial_user_msg": message, **fields}
        return str(self.ok("POST", "/api/conversations", body)["conversation_id"])

    def trajectory(self, conversation_id: str) -> list[dict[str, Any]]:
        """Give every stored event."""
        answer = self.ok("GET", f"/api/conversations/{conversation_id}/trajectory")
        return list(answer["trajectory"])

    def state(self, conversation_id: str) -> str:
        """Give the last agent state of the log."""
        states = [
            event["extras"]["agent_state"]
            for event in self.trajectory(conversation_id)
            if event.get("observation") == "agent_state_changed"
        ]
        return str(states[-1])

    def status(self, conversation_id: str) -> str:
        """Give RUNNING or STOPPED."""
        return str(self.ok("GET", f"/api/conversations/{conversation_id}")["status"])

    def wait_for_rest(self, conversation_id: str, *, seconds: float = 60) -> str:
        """Wait until nothing runs and nothing is wanted; give the state."""
        until_true(lambda: self.status(conversation_id) == "STOPPED", seconds=seconds)
        state = self.state(conversation_id)
        assert state not in WORKING_STATES, "stopped, and yet at work"
        return state

    def workspace(self, conversation_id: str) -> Path:
        """Give the folder that the sandbox mounts."""
        return self.data_dir / "workspaces" / conversation_id


class Client:
    """A Socket.IO client that remembers what it received, as the web client does."""

    def __init__(self, server: Server, conversation_id: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._server = server
        self._conversation_id = conversation_id
        self._arrived = asyncio.Condition()
        self._client = self._new()

    def _new(self) -> socketio.AsyncClient:
        client = socketio.AsyncClient(reconnection=False)

        async def keep(event: dict[str, Any]) -> None:
            assert_tells_no_secret(event)
            async with self._arrived:
                self.events.append(event)
                self._arrived.notify_all()

        client.on("oh_event", keep)
        return client

    @property
    def latest(self) -> int:
        """Give the id that the web client would name when it comes back."""
        ids = [event["id"] for event in self.events if isinstance(event.get("id"), int)]
        return ids[-1] if ids else -1

    async def __aenter__(self) -> Client:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.disconnect()

    async def connect(self, latest: str | None = None) -> None:
        """Connect, naming the last event received, or what `latest` says."""
        known = str(self.latest) if latest is None else latest
        query = f"?conversation_id={self._conversation_id}&latest_event_id={known}"
        await self._client.connect(self._server.address + query, transports=["websocket"])

    async def cut(self) -> None:
        """Lose the transport without a word, as a network does."""
        transport = self._client.eio.ws._response.connection.transport
        transport.abort()
        await self._client.wait()
        self._client = self._new()

    async def move(self, server: Server) -> None:
        """Wait until this server has closed the socket; go on at another, as behind a proxy."""
        await self._client.wait()
        self._client = self._new()
        self._server = server
        await self.connect()

    async def stay(self) -> None:
        """Connect again, where the connection has been lost meanwhile."""
        if not self._client.connected:
            self._client = self._new()
            await self.connect()

    async def rejoin(self) -> None:
        """Cut, and connect again from the last event received."""
        await self.cut()
        await self.connect()

    async def wait_for(
        self, condition: Callable[[list[dict[str, Any]]], bool], *, seconds: float = 30
    ) -> None:
        """Wait until the received events fulfil a condition."""
        try:
            async with asyncio.timeout(seconds), self._arrived:
                await self._arrived.wait_for(lambda: condition(self.events))
        except TimeoutError as error:
            message = f"in vain, after {seconds} s; the last events: {self.events[-3:]}"
            raise AssertionError(message) from error

    async def wait_for_state(self, state: str, *, seconds: float = 30) -> None:
        """Wait until the newest state is this one."""

        def is_it(events: list[dict[str, Any]]) -> bool:
            states = [e["extras"]["agent_state"] for e in events if is_state(e)]
            return bool(states) and states[-1] == state

        await self.wait_for(is_it, seconds=seconds)

    async def act(self, action: str, **args: Any) -> Any:
        """Send one `oh_user_action`; give the acknowledgement."""
        return await self._client.call(
            "oh_user_action", {"action": action, "args": args}, timeout=DEADLINE_SECONDS
        )

    async def send_raw(self, data: Any) -> Any:
        """Send whatever a broken client may send."""
        return await self._client.call("oh_user_action", data, timeout=DEADLINE_SECONDS)


def is_state(event: dict[str, Any]) -> bool:
    """Whether an event is a state change."""
    return event.get("observation") == "agent_state_changed"
