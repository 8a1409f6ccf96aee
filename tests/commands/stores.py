"""Makes stores as the original server writes them, and runs the import over them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from tests.databases import ROOT
from tests.serving import Server

JSON = dict[str, Any]
#: Ids that nobody else in a run has.
ID, OTHER_ID = "11" * 16, "22" * 16
TIME = "2026-03-01T10:00:00.5"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def report(self) -> JSON:
        """What --json gave."""
        return dict(json.loads(self.out))

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each conversation, by the last part of its path."""
        return {
            str(item["path"]).rpartition("/")[2]: str(item["outcome"])
            for item in self.report["conversations"]
        }

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err


def in_process(path: Path, *arguments: str) -> Done:
    """Import in this process, with a JSON report."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("import_openhands", str(path), "--json", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        code = error.returncode
        err.write(f"CommandError: {error}\n")
    return Done(code, out.getvalue(), err.getvalue())


def as_process(
    environment: Mapping[str, str],
    path: Path,
    *arguments: str,
    entry: tuple[str, ...] = ("manage.py",),
) -> Done:
    """Run the real command line."""
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, *entry, "import_openhands", str(path), *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def beside(server: Server, path: Path, *arguments: str) -> Done:
    """Import beside a running server."""
    return as_process(server.environment, path, *arguments)


def event(**fields: Any) -> JSON:
    return {"timestamp": TIME, "source": "agent", "message": "", **fields}


def state(word: str, **fields: Any) -> JSON:
    extras = {"agent_state": word, "reason": ""}
    said = {"observation": "agent_state_changed", "content": "", "extras": extras}
    return event(source="environment", **said) | fields


def message(content: str, source: str = "user") -> JSON:
    args = {"content": content, "image_urls": None, "wait_for_response": False}
    return event(source=source, message=content, action="message", args=args)


def run(command: str, **fields: Any) -> JSON:
    args = {"command": command, "thought": "", "confirmation_state": "confirmed"}
    return event(action="run", args=args) | fields


def ran(cause: int, content: str = "", **fields: Any) -> JSON:
    extras = {"command": "", "metadata": {"exit_code": 0, "working_dir": None}, "hidden": False}
    return event(observation="run", cause=cause, content=content, extras=extras) | fields


def metrics(cost: float, prompt_tokens: int, completion_tokens: int) -> JSON:
    tokens = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    }
    return {"accumulated_cost": cost, "accumulated_token_usage": tokens, "costs": []}


def tool_call(answer: str = "answer-1", call: str = "call-1") -> JSON:
    function = {"name": "execute_bash", "arguments": '{"command": "ls"}'}
    calls = [{"id": call, "type": "function", "function": function}]
    choices = [{"index": 0, "message": {"role": "assistant", "content": "", "tool_calls": calls}}]
    return {"tool_call_id": call, "model_response": {"id": answer, "choices": choices}}


class Store:
    """A folder that looks like the original's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "sessions").mkdir(parents=True, exist_ok=True)

    def folder(self, conversation_id: str = ID, user_id: str = "") -> Path:
        if user_id:
            return self.path / "users" / user_id / "conversations" / conversation_id
        return self.path / "sessions" / conversation_id

    def conversation(
        self,
        *events: JSON,
        conversation_id: str = ID,
        user_id: str = "",
        numbers: list[int] | None = None,
        **metadata: Any,
    ) -> Path:
        """Write a conversation; give its folder."""
        folder = self.folder(conversation_id, user_id)
        (folder / "events").mkdir(parents=True)
        known = {
            "conversation_id": conversation_id,
            "user_id": user_id or None,
            "selected_repository": None,
            "selected_branch": None,
            "title": "A title",
            "created_at": "2026-03-01T10:00:00Z",
            "last_updated_at": "2026-03-01T11:00:00Z",
        }
        (folder / "metadata.json").write_text(json.dumps(known | metadata))
        for number, item in zip(numbers or range(len(events)), events, strict=True):
            self.event(folder, number, item)
        return folder

    @staticmethod
    def event(folder: Path, number: int, item: JSON) -> None:
        (folder / "events" / f"{number}.json").write_text(json.dumps({"id": number, **item}))

    def settings(self, **fields: Any) -> None:
        (self.path / "settings.json").write_text(json.dumps(fields))
