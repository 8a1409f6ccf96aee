"""One conversation of the load: what is asked, what it has to leave behind. No blows from here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos.client import Api, Follower
from tests.log_checks import EXECUTABLE
from tests.scripted_llm import Step, calls, finish, run

#: Commands of one task, or for one message.
COMMANDS: Final = 6
#: Seconds until a client has to have seen what is stored.
_LONGEST: Final = 120.0
MARK: Final = "[chaos "


def _command(key: str) -> str:
    """Have an effect that can be counted, and take a while."""
    return f"echo {key} >> effects; sleep 0.05; echo {key} done"


def model(request: dict[str, Any]) -> Step:
    """Ask for the next command of the task until there were enough; derived from the history."""
    said = [str(m["content"]) for m in request["messages"] if m["role"] == "user"]
    messages = [text for text in said if MARK in text]
    mark = messages[0].partition(MARK)[2].partition("]")[0]
    asked = [
        call
        for message in request["messages"]
        for call in message.get("tool_calls") or ()
        if call["function"]["name"] == "execute_bash"
    ]
    if len(asked) < COMMANDS * len(messages):
        return calls(run(_command(f"{mark}-{len(asked)}")))
    return calls(finish("done"))


def recording(mark: str) -> str:
    """Give a task that needs no model."""
    actions: list[dict[str, Any]] = [
        {"source": "agent", "action": "run", "args": {"command": _command(f"{mark}-{n}")}}
        for n in range(COMMANDS)
    ]
    done = {"source": "agent", "action": "finish", "args": {"outputs": {}, "thought": "done"}}
    return json.dumps([*actions, done])


@dataclass(slots=True)
class Task:
    """A conversation from its creation to its rest."""

    mark: str
    #: Messages that a scripted model answers; 0 replays a recording.
    messages: int
    conversation_id: str = ""
    accepted: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    rested: bool = False

    async def run(self, api: Api, data_dir: Path, over: asyncio.Event) -> None:
        """Create, follow, say what is to be said, and read everything at the end."""
        first = f"Begin. {MARK}{self.mark}]"
        body = (
            {"initial_user_msg": first} if self.messages else {"replay_json": recording(self.mark)}
        )
        self.conversation_id = await api.create(body)
        self.accepted += [first] if self.messages else []
        follower = Follower(api, self.conversation_id)
        following = asyncio.create_task(follower.follow())
        try:
            self.rested = await api.wait_for_rest(self.conversation_id, over=over)
            for number in range(1, self.messages):
                text = f"Go on, {number}. {MARK}{self.mark}]"
                (self.accepted if await follower.say(text) else self.unsure).append(text)
                # A message that nobody has confirmed may still be on its way.
                rested = await api.wait_for_rest(self.conversation_id, over=over)
                self.rested = self.rested and rested
            path = f"/api/conversations/{self.conversation_id}/trajectory"
            self.log = (await api.ok("GET", path))["trajectory"]
            await self._wait_until_seen(follower)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        self.seen = follower.ids
        file = data_dir / "workspaces" / self.conversation_id / "effects"
        self.effects = file.read_text().split() if file.exists() else []

    @property
    def state(self) -> str:
        """Give the last state of the log, "" where there is none."""
        states = [
            str(event["extras"]["agent_state"])
            for event in self.log
            if event.get("observation") == "agent_state_changed"
        ]
        return states[-1] if states else ""

    async def _wait_until_seen(self, follower: Follower) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                await follower.has_seen(self.log[-1]["id"])

    def findings(self) -> dict[str, Sequence[str]]:
        """Say what was lost, doubled, repeated or left open, by the words of the table."""
        ids = [event["id"] for event in self.log]
        texts = [str((event.get("args") or {}).get("content")) for event in self.log]
        texts = [text for text in texts if MARK in text]
        actions = {e["id"]: e for e in self.log if e.get("action") in EXECUTABLE}
        settled = [e["cause"] for e in self.log if "cause" in e]
        done = [
            actions[e["cause"]]["args"]["command"].split()[1]
            for e in self.log
            if e.get("observation") == "run" and e["cause"] in actions
        ]
        dense = list(range(len(ids)))
        asked = [str(a["args"].get("command", "")).split()[1:2] for a in actions.values()]
        wanted = [[f"{self.mark}-{n}"] for n in range(COMMANDS * max(1, len(self.accepted)))]
        return {
            "lost": [
                *(f"message {text!r}" for text in self.accepted if text not in texts),
                *(f"command {key[0]}" for key in wanted if key not in asked),
                *(f"effect {key}" for key in done if key not in self.effects),
                *(f"event {n} for the client" for n in dense if n not in self.seen),
                *(["a number of the log"] if ids != dense else []),
            ],
            "doubled": [
                *(f"message {text!r}" for text in set(texts) if texts.count(text) > 1),
                *(f"event {n} for the client" for n in dense if self.seen.count(n) > 1),
                *(["the order for the client"] if self.seen != sorted(self.seen) else []),
            ],
            "repeated effects": [k for k in set(self.effects) if self.effects.count(k) > 1],
            "open actions": [str(n) for n in actions if settled.count(n) != 1],
            "stuck": [] if self.rested and self.state == "finished" else [self.state or "no log"],
        }
