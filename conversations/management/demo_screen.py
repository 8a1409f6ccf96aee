"""How the demo shows an event to a person: a few lines, in colour on a terminal. No server."""

from __future__ import annotations

import time
from typing import Any, TextIO

#: Lines of an output or a file that are shown.
MAX_LINES = 14
_COLOURS = {
    "user": "36",
    "agent": "33",
    "environment": "35",
    "output": "2",
    "bad": "31",
    "good": "32",
}


class Screen:
    """Writes events with the time since the start."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colours = out.isatty()
        self._start = time.monotonic()

    def line(self, text: str = "", colour: str = "") -> None:
        """Write one line."""
        if colour and self._colours:
            text = f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"
        self._out.write(text + "\n")
        self._out.flush()

    def event(self, event: dict[str, Any]) -> None:
        """Write one event of the stream."""
        kind = event.get("action") or event.get("observation") or "status"
        elapsed = time.monotonic() - self._start
        head = f"{elapsed:6.1f} s  #{event.get('id', '-'):<3} {event.get('source', ''):<11} {kind}"
        title, body, colour = self._describe(kind, event)
        self.line(f"{head}  {title}".rstrip(), colour)
        self._block(body)

    def _describe(self, kind: str, event: dict[str, Any]) -> tuple[str, str, str]:
        if "action" in event:
            return self._action(kind, event)
        extras = event.get("extras", {})
        if kind == "agent_state_changed":
            return extras["agent_state"], extras.get("reason", ""), "environment"
        if kind == "run":
            code = extras["metadata"]["exit_code"]
            return f"exit code {code}", event["content"], "good" if code == 0 else "bad"
        if kind == "error":
            return "", event["content"], "bad"
        if kind == "edit":
            return extras["path"], extras["diff"] or event["content"], "good"
        return "", event.get("content", event.get("message", "")), "good"

    @staticmethod
    def _action(kind: str, event: dict[str, Any]) -> tuple[str, str, str]:
        args = event["args"]
        thought = args.get("thought") or ""
        if kind == "run":
            body = f"$ {args['command']}"
        else:
            words = [args.get(name) for name in ("content", "final_thought", "path", "thought")]
            body = next((word for word in words if word), "")
        title = thought if kind in {"run", "edit", "read", "write"} else ""
        return title, body, "user" if event["source"] == "user" else "agent"

    def _block(self, text: str) -> None:
        lines = text.rstrip().splitlines()
        for line in lines[:MAX_LINES]:
            self.line(f"          | {line}", "output")
        if len(lines) > MAX_LINES:
            self.line(f"          | … {len(lines) - MAX_LINES} more lines", "output")
