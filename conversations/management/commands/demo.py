"""`manage.py demo`: the main job over the public API, as any client does it."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import socketio
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from conversations.management.demo_screen import Screen
from conversations.management.demo_task import TASK, demo_trajectory
from conversations.services.sweep_runs import sweeps_somewhere

START_SECONDS = 60.0
#: With a model of one's own the task may take a while.
TASK_SECONDS = 900.0
_ENDS = {"finished", "awaiting_user_input", "error", "rate_limited", "paused", "stopped"}


class Command(BaseCommand):
    """See an agent work on a task."""

    help = "Start the server if need be, give an agent a task, show its events as they happen."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address of the server."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=3000)
        parser.add_argument(
            "--follow", metavar="ID", help="show this conversation's events instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; exit code 1 when the task did not end as finished."""
        api = _Api(options["host"], options["port"])
        screen = Screen(sys.stdout)
        if options["follow"]:
            if not api.is_handrail():
                message = f"Nothing listens on {api.address}: start the server with make run."
                raise CommandError(message)
            asyncio.run(_follow(api, options["follow"], screen))
            return
        pid = self._ensure_server(api, screen)
        own_model = bool(settings.LLM_API_KEY)
        body = {"initial_user_msg": TASK} if own_model else {"replay_json": demo_trajectory()}
        answer = api.call("POST", "/api/conversations", body)
        conversation_id = answer["conversation_id"]
        by = f"the model {settings.LLM_MODEL}" if own_model else "a recording (no LLM_API_KEY set)"
        screen.line(f"Conversation {conversation_id}, worked on by {by}:\n")
        if settings.EXECUTOR == "procrastinate" and not sweeps_somewhere():
            screen.line("No worker is up: run manage.py work in another terminal. The task waits.")
        state = asyncio.run(_follow(api, conversation_id, screen))
        self._tell_what_next(api, screen, conversation_id, pid)
        if state != "finished":
            message = f"The conversation ended in the state {state!r}, not finished."
            raise CommandError(message)

    def _ensure_server(self, api: _Api, screen: Screen) -> int | None:
        """Use the server that answers, or start one that outlives this command; give its pid."""
        if api.is_handrail():
            screen.line(f"Using the Handrail that runs on {api.address}.")
            return None
        log = Path(settings.DATA_DIR) / "server.log"
        with log.open("ab") as output:
            server = subprocess.Popen(  # noqa: S603  # our own command line
                [sys.executable, sys.argv[0], "serve", "--host", api.host, "--port", str(api.port)],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        screen.line(f"Starting the server on {api.address} (its log: {log}) …")
        end = time.monotonic() + START_SECONDS
        while not api.is_handrail():
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                last = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
                message = f"The server did not start: {last or 'no output'} (see {log})"
                raise CommandError(message)
            time.sleep(0.1)
        return server.pid

    @staticmethod
    def _tell_what_next(api: _Api, screen: Screen, conversation_id: str, pid: int | None) -> None:
        url = f"{api.address}/api/conversations"
        workspace = Path(settings.DATA_DIR) / "workspaces" / conversation_id
        follow = f"{sys.executable} {sys.argv[0]} demo --port {api.port}"
        stop = f"kill {pid}" if pid else "end the process that you started"
        for line in (
            "",
            f"The server goes on running on {api.address}. What next?",
            f"  The log again        curl {url}/{conversation_id}/trajectory",
            f"  All conversations    curl {url}",
            f"  The agent's files    ls {workspace}",
            f"  Follow it live       {follow} --follow {conversation_id}",
            "  Your own model       stop this server, then LLM_MODEL=… LLM_API_KEY=… make demo; or",
            f"    curl -H 'Content-Type: application/json' {api.address}/api/settings \\",
            '      -d \'{"llm_model": "anthropic/claude-sonnet-4-5", "llm_api_key": "…"}\'',
            f"  A task of your own   curl -H 'Content-Type: application/json' {url} \\",
            '      -d \'{"initial_user_msg": "…"}\'',
            f"  Stop the server      {stop}",
        ):
            screen.line(line)


class _Api:
    """The public API at one address."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.address = f"http://{host}:{port}"

    def is_handrail(self) -> bool:
        """Whether a Handrail answers there; anything else that answers is an error."""
        try:
            status, text = self._request("GET", "/health", None)
        except ConnectionRefusedError:
            return False
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(self._taken(str(error))) from error
        if status != http.HTTPStatus.OK or text.strip() != '"OK"':
            raise CommandError(self._taken(f"GET /health answered {status}"))
        return True

    def _taken(self, why: str) -> str:
        return (
            f"Something else listens on {self.address} ({why}). "
            f"Choose another port: make demo PORT={self.port + 1}"
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the API. Raises CommandError with the API's own message."""
        try:
            status, text = self._request(method, path, body)
            answer = json.loads(text)
        except (OSError, ValueError, http.client.HTTPException) as error:
            message = f"{method} {self.address}{path}: {error}"
            raise CommandError(message) from error
        if status != http.HTTPStatus.OK:
            message = f"{method} {self.address}{path} answered {status}: {answer.get('message')}"
            raise CommandError(message)
        return answer

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()


async def _follow(api: _Api, conversation_id: str, screen: Screen) -> str:
    """Show the events as they come, until the agent rests; give its last state."""
    client = socketio.AsyncClient(reconnection=False)
    rested: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(event: dict[str, Any]) -> None:
        screen.event(event)
        state = event.get("extras", {}).get("agent_state")
        if state in _ENDS and not rested.done():
            rested.set_result(state)

    refusals: list[Any] = []
    client.on("oh_event", show)
    client.on("connect_error", refusals.append)
    query = f"?conversation_id={conversation_id}&latest_event_id=-1"
    try:
        await client.connect(api.address + query, transports=["websocket"])
        return await asyncio.wait_for(rested, TASK_SECONDS)
    except (socketio.exceptions.ConnectionError, TimeoutError) as error:
        refused = next((r["message"] for r in refusals if isinstance(r, dict)), "")
        why = refused or str(error) or "no rest in time"
        message = f"The event stream of {api.address} ended early: {why}"
        raise CommandError(message) from error
    finally:
        await client.disconnect()
