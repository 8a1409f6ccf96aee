"""A scripted LLM provider: a real OpenAI-compatible HTTP server. It knows nothing of Handrail."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast

from tests.llm_steps import (
    JSON,
    Answer,
    Body,
    Call,
    Delay,
    Drop,
    Error,
    Gated,
    Script,
    Step,
    body,
    calls,
    completion,
    create,
    delay,
    drop,
    error,
    error_body,
    finish,
    gated,
    hang,
    raw_call,
    run,
    steps_from_json,
    str_replace,
    text,
    think,
    view,
)

__all__ = [
    "JSON",
    "Call",
    "Request",
    "Script",
    "ScriptedLLMServer",
    "Step",
    "body",
    "calls",
    "create",
    "delay",
    "drop",
    "error",
    "finish",
    "gated",
    "hang",
    "raw_call",
    "run",
    "str_replace",
    "text",
    "think",
    "view",
]

#: Seconds. No test holds an answer back for longer.
_LONGEST_WAIT = 120.0

Sendable = Call | Answer | Error | Body | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came; `at` is time.monotonic()."""

    path: str
    body: JSON
    headers: Mapping[str, str]
    at: float

    @property
    def takes_turn(self) -> bool:
        return bool(self.body.get("tools"))

    @property
    def messages_text(self) -> str:
        return json.dumps(self.body.get("messages"), ensure_ascii=False)


class ScriptedLLMServer:
    """Answers chat completions by script, in threads of its own, until the with block ends."""

    def __init__(self, *, port: int = 0, title_answer: Step | str = "A fine title") -> None:
        self.title_answer = title_answer
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._scripts: dict[str, Script] = {}
        self._turns: dict[str, int] = {}
        self._open = threading.Event()
        self._open.set()
        self._stopped = threading.Event()
        self._http = _HTTPServer(port, self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="scripted-llm"
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def requests(self) -> list[Request]:
        with self._changed:
            return list(self._requests)

    @property
    def turns(self) -> list[Request]:
        """The requests with tools, that is without those for titles."""
        return [request for request in self.requests if request.takes_turn]

    def script(self, script: Script, *, marker: str = "") -> None:
        """Answer by `script`, from its first step; with a marker: where the messages hold it."""
        with self._changed:
            self._scripts[marker] = script if callable(script) else tuple(script)
            self._turns[marker] = 0

    def wait_for(self, count: int, timeout: float = 10, *, turns_only: bool = False) -> None:
        """Wait until `count` requests have come since the start; TimeoutError says how many did."""

        def seen() -> int:
            return sum(1 for request in self._requests if request.takes_turn or not turns_only)

        with self._changed:
            if not self._changed.wait_for(lambda: seen() >= count, timeout):
                message = f"{seen()} requests came in {timeout} s, the test waits for {count}"
                raise TimeoutError(message)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep back every answer until the with block ends; requests are counted as they come."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def stop(self) -> None:
        """End all connections and threads; what waits for a gate ends too."""
        self._stopped.set()
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        self._thread.join(timeout=10)

    def step_for(self, request: Request) -> Step:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            if not request.takes_turn:
                title = self.title_answer
                return text(title) if isinstance(title, str) else title
            said = request.messages_text
            marker = next((m for m in self._scripts if m and m in said), "")
            script = self._scripts.get(marker, ())
            turn = self._turns[marker] = self._turns.get(marker, 0) + 1
        if callable(script):
            return _step_of_function(script, request.body)
        if turn > len(script):
            return error(400, f"script {marker!r} exhausted after {len(script)} requests")
        return script[turn - 1]

    def ready(self, step: Step) -> Sendable:
        """Wait for whatever holds the step back."""
        self._wait(self._open)
        while isinstance(step, Delay | Gated):
            if isinstance(step, Delay):
                self._stopped.wait(step.seconds)
            else:
                self._wait(step.event)
            step = step.step
        if isinstance(step, Drop):
            self._stopped.wait(step.seconds)
        return step

    def _wait(self, event: threading.Event) -> None:
        deadline = time.monotonic() + _LONGEST_WAIT
        while not (self._stopped.is_set() or event.wait(0.02)):
            if time.monotonic() > deadline:
                return


class _HTTPServer(ThreadingHTTPServer):
    """Knows its connections, so that stopping ends those that a client keeps alive."""

    daemon_threads = False
    #: The default of 5 makes the sixth of several clients wait a second.
    request_queue_size = 128

    def __init__(self, port: int, scripted: ScriptedLLMServer) -> None:
        self.scripted = scripted
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up while it is answered is part of the tests.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Headers and body are two writes: with Nagle's algorithm each answer takes 40 ms.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        scripted = cast(_HTTPServer, self.server).scripted
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(
            path=self.path,
            body=json.loads(content),
            headers={name.lower(): value for name, value in self.headers.items()},
            at=time.monotonic(),
        )
        step = scripted.ready(scripted.step_for(request))
        if isinstance(step, Drop):
            self.close_connection = True
        elif isinstance(step, Error):
            self._send(step.status, json.dumps(error_body(step)).encode(), step.headers)
        elif isinstance(step, Body):
            self._send(200, step.body, step.headers)
        else:
            answer = completion(step, str(request.body.get("model")))
            self._send(200, json.dumps(answer).encode(), {})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Requests are recorded, not logged."""


def _step_of_function(script: Callable[[JSON], Step], request: JSON) -> Step:
    try:
        return script(request)
    except Exception as failure:  # noqa: BLE001  # it must reach the test, and this is a server's thread
        return error(400, f"the script's function raised {type(failure).__name__}: {failure}")


def main(arguments: list[str] | None = None) -> None:
    """Serve a script until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.scripted_llm")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("script", type=Path)
    options = parser.parse_args(arguments)
    with ScriptedLLMServer(port=options.port) as server, suppress(KeyboardInterrupt):
        server.script(steps_from_json(options.script.read_text(encoding="utf-8")))
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
