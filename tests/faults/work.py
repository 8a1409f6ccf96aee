"""A conversation whose agent appends lines, and what must be true of it after whatever happened."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.log_checks import assert_settled_once
from tests.scripted_llm import ScriptedLLMServer, Step, calls, delay, finish, run
from tests.serving import Client, Server
from tests.waiting import until_true

#: What the agent's lines, and the messages of the tests, end with.
NAP = "sleep 0.25"


def next_line(request: dict[str, Any], *, steps: int) -> Step:
    """Ask for the next line until there are enough; derived from the history, as a model does."""
    asked = sum(message["role"] == "assistant" for message in request["messages"])
    if asked >= steps:
        return calls(finish(f"{asked} steps"))
    return calls(run(f"echo {asked} >> effects; {NAP}"))


class Work:
    """One conversation that is worked on, followed by a client."""

    def __init__(
        self,
        server: Server,
        llm: ScriptedLLMServer,
        marker: str,
        *,
        steps: int,
        thinks: float = 0.0,
    ) -> None:
        self._server = server
        self._steps = steps
        llm.script(lambda request: delay(thinks, next_line(request, steps=steps)), marker=marker)
        self.id = server.create(f"Append lines. {marker}")
        self.client = Client(server, self.id)

    def effects(self) -> list[str]:
        """Give what the agent has done so far."""
        file = self._server.workspace(self.id) / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def until_effects(self, wanted: int) -> None:
        """Wait until the agent has done so much."""
        until_true(lambda: len(self.effects()) >= wanted, seconds=30)

    async def until_rest(self) -> list[dict[str, Any]]:
        """Wait until it has finished, the client too; check everything; give the log."""
        state = await asyncio.to_thread(self._server.wait_for_rest, self.id)
        assert state == "finished"
        log = await asyncio.to_thread(self._server.trajectory, self.id)
        assert_settled_once(log)
        effects = self.effects()
        assert len(effects) == len(set(effects)), "an effect was repeated"
        runs = [event for event in log if event.get("action") == "run"]
        assert len(runs) == self._steps
        # Of these nobody knows whether they were carried out, and the log says so.
        unknown = [event for event in log if event.get("observation") == "error"]
        assert len(effects) + len(unknown) >= self._steps, "an action was not carried out"
        await self.client.stay()
        await self.client.wait_for(lambda _: self.client.latest >= log[-1]["id"])
        ids = [e["id"] for e in self.client.events if isinstance(e.get("id"), int)]
        assert ids == list(range(len(log))), "the client missed an event, or got one twice"
        return log
