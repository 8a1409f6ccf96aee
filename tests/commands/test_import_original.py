"""A store that the original server itself has written, taken over beside a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.commands.stores import ID, Store, beside, event, message, ran, run, state, tool_call
from tests.scripted_llm import ScriptedLLMServer, finish, text
from tests.scripted_llm import run as call_run
from tests.serving import Client, Server

ORIGINAL = Path(__file__).parents[3] / "shared" / "data" / "openhands-store"
needs_store = pytest.mark.skipif(
    not ORIGINAL.is_dir(), reason="the original server's store is not beside this project"
)
DAMAGED = "00000000000040008000000000000bad"
SECONDS_OF_DECADES = "999999999"


@pytest.fixture(scope="module")
def importing(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Server]:
    """Give a server of its own, whose list shows old conversations too."""
    made = Server(
        tmp_path_factory.mktemp("importing"), CONVERSATION_MAX_AGE_SECONDS=SECONDS_OF_DECADES
    )
    made.start()
    yield made
    made.stop()


def stored(conversation_id: str) -> list[dict[str, Any]]:
    folder = ORIGINAL / "sessions" / conversation_id / "events"
    numbers = sorted(int(file.stem) for file in folder.iterdir())
    return [json.loads((folder / f"{number}.json").read_text()) for number in numbers]


def has(event_id: int, seen: list[dict[str, Any]]) -> bool:
    return any(item["id"] == event_id for item in seen)


def healthy() -> list[str]:
    names = sorted(folder.name for folder in (ORIGINAL / "sessions").iterdir())
    return [name for name in names if name != DAMAGED]


def as_shown(original: dict[str, Any]) -> dict[str, Any]:
    """Give what a client has to see of a stored event; the socket leaves the LLM's answer out."""
    naive = datetime.fromisoformat(original["timestamp"])
    shown = original | {"timestamp": naive.replace(tzinfo=UTC).isoformat()}
    shown.pop("tool_call_metadata", None)
    return shown


@needs_store
async def test_the_originals_store_opens_and_replays_event_for_event(importing: Server) -> None:
    done = beside(importing, ORIGINAL)
    assert done.code == 1
    assert f"Skipped: sessions/{DAMAGED}/metadata.json: is empty." in done.err
    assert "Conversations imported:                 4\n" in done.out
    for conversation_id in healthy():
        events = [as_shown(item) for item in stored(conversation_id)]
        async with Client(importing, conversation_id) as client:
            await client.wait_for(partial(has, events[-1]["id"]))
        assert client.events == events
        assert importing.state(conversation_id) == "stopped"
        assert importing.status(conversation_id) == "STOPPED"


@needs_store
def test_the_list_shows_titles_and_times_and_a_second_run_doubles_nothing(
    importing: Server,
) -> None:
    beside(importing, ORIGINAL)
    again = beside(importing, ORIGINAL, "--json")
    assert again.code == 1
    assert again.outcomes == dict.fromkeys(healthy(), "already_there") | {DAMAGED: "skipped"}
    assert again.report["settings"]["outcome"] == "already_there"
    listed = importing.ok("GET", "/api/conversations?limit=100")["results"]
    items = {item["conversation_id"]: item for item in listed}
    assert set(healthy()) <= set(items)
    for conversation_id in healthy():
        known = json.loads((ORIGINAL / "sessions" / conversation_id / "metadata.json").read_text())
        item = items[conversation_id]
        for name in ("title", "selected_repository"):
            assert item[name] == known[name]
        for name in ("created_at", "last_updated_at"):
            assert datetime.fromisoformat(item[name]) == datetime.fromisoformat(known[name])
        trajectory = importing.trajectory(conversation_id)
        assert len(trajectory) == len(stored(conversation_id))
        assert [e.get("tool_call_metadata") for e in trajectory] == [
            e.get("tool_call_metadata") for e in stored(conversation_id)
        ]
    kept = json.loads((ORIGINAL / "settings.json").read_text())
    settings = importing.ok("GET", "/api/settings")
    assert settings["llm_api_key_set"] is True
    for name in ("llm_model", "llm_base_url", "agent", "language", "user_consents_to_analytics"):
        assert settings[name] == kept[name]


async def test_an_imported_conversation_goes_on(
    server: Server, llm: ScriptedLLMServer, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    store.conversation(
        state("loading"),
        message("import-goes-on: what is here?"),
        event(source="user", action="recall", args={"query": "x"}),
        event(source="environment", observation="recall", cause=2, content="", extras={}),
        state("running"),
        run("ls", tool_call_metadata=tool_call()),
        ran(5, "old.txt", tool_call_metadata=tool_call()),
        event(action="browse", args={"url": "http://127.0.0.1/"}),
        message("There is old.txt.", source="agent"),
        state("awaiting_user_input"),
        run("date", source="user"),
        state("running"),
    )
    assert beside(server, store.path).code == 0
    async with Client(server, ID) as client:
        await client.wait_for_state("stopped")
        assert [e.get("cause") for e in client.events[-2:]] == [10, None]
        assert "outcome is unknown" in client.events[-2]["content"]
        # A command typed by the user needs no LLM: nothing old is answered once more.
        asked = len(llm.turns)
        await client.act("run", command="echo typed", hidden=False)
        await client.wait_for(lambda seen: any(e.get("content") == "typed" for e in seen))
        server.wait_for_rest(ID)
        assert (server.state(ID), len(llm.turns)) == ("stopped", asked)
        llm.script(
            [call_run("echo new > new.txt; ls"), finish("It is done.")], marker="import-goes-on"
        )
        await client.act("message", content="Make another.", image_urls=[])
        await client.wait_for_state("finished")
    chat = llm.turns[-1].messages_text
    for said in ("import-goes-on: what is here?", "old.txt", "There is old.txt.", "Make another."):
        assert said in chat
    assert chat.count("was moved here from another server") == 1
    assert (server.workspace(ID) / "new.txt").read_text() == "new\n"
    assert [e["id"] for e in server.trajectory(ID)] == list(range(len(server.trajectory(ID))))
    went_on = beside(server, store.path, "--json")
    assert (went_on.code, went_on.outcomes) == (0, {ID: "already_there"})


async def test_a_question_that_was_open_still_is(
    server: Server, llm: ScriptedLLMServer, tmp_path: Path
) -> None:
    conversation_id = "33" * 16
    store = Store(tmp_path / "store")
    asks = {"command": "echo allowed", "thought": "", "confirmation_state": "awaiting_confirmation"}
    earlier = tool_call("answer-0", "call-0")
    store.conversation(
        message("import-asks: do it"),
        state("awaiting_user_confirmation"),
        run("echo once", tool_call_metadata=earlier),
        state("user_confirmed"),
        # The original stores an action that was allowed once more.
        run("echo once", tool_call_metadata=earlier),
        ran(4, "once"),
        state("awaiting_user_confirmation"),
        run("echo allowed", args=asks, tool_call_metadata=tool_call()),
        conversation_id=conversation_id,
    )
    assert beside(server, store.path).code == 0
    assert server.state(conversation_id) == "awaiting_user_confirmation"
    settled = server.trajectory(conversation_id)[8]
    assert (settled["cause"], settled["content"]) == (2, "This action was not executed.")
    llm.script([text("All right.")], marker="import-asks")
    async with Client(server, conversation_id) as client:
        await client.act("change_agent_state", agent_state="user_confirmed")
        await client.wait_for(lambda seen: any(e.get("content") == "allowed" for e in seen))
        await client.wait_for_state("awaiting_user_input")
    assert sum(e.get("content") == "once" for e in client.events) == 1
