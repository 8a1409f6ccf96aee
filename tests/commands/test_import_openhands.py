"""What comes over from a store, for whom, and what a second run does."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from conversations.events.cleaning import MASK
from conversations.models import Conversation, EventRecord, LoopLease
from conversations.selectors import all_event_rows, unsettled_action_ids
from conversations.services.conversations import conversation_delete
from conversations.services.messages import message_send
from settings_app.models import User, UserSettings
from settings_app.services import local_user_get, settings_store
from tests.commands.stores import (
    ID,
    JSON,
    OTHER_ID,
    Store,
    event,
    in_process,
    message,
    metrics,
    ran,
    run,
    state,
    tool_call,
)

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def imported(store: Store, *arguments: str) -> Conversation:
    """Import a store without damage; give its one conversation."""
    done = in_process(store.path, *arguments)
    assert (done.code, done.outcomes) == (0, {ID: "imported"}), done.err
    return Conversation.objects.get(pk=ID)


def kinds_and_causes() -> list[tuple[str, int | None]]:
    rows = all_event_rows(conversation_id=Conversation.objects.get().pk)
    return [(row.action or row.observation, row.cause) for row in rows]


def test_a_conversation_keeps_what_it_was(store: Store) -> None:
    store.conversation(
        message("Do it"),
        run("ls", llm_metrics=metrics(0.5, 10, 1)),
        ran(3),
        message("Done.", source="agent") | {"llm_metrics": metrics(1.25, 100, 20)},
        state("awaiting_user_input"),
        # Numbers have gaps where the original lost an event.
        numbers=[0, 3, 4, 8, 9],
        title="By  hand\nor not",
        selected_repository="octo/hello",
        selected_branch="main",
        accumulated_cost=7,
    )
    kept = imported(store, "--timezone", "Europe/Berlin")
    assert (kept.title, kept.title_source) == ("By hand or not", "user")
    assert (kept.selected_repository, kept.selected_branch) == ("octo/hello", "main")
    assert kept.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert kept.last_updated_at == datetime(2026, 3, 1, 11, tzinfo=UTC)
    assert (kept.accumulated_cost, kept.prompt_tokens) == (1.25, 100)
    assert (kept.completion_tokens, kept.total_tokens) == (20, 120)
    assert (kept.agent_state, kept.last_event_id) == ("awaiting_user_input", 4)
    assert kept.owner == local_user_get()
    rows = list(all_event_rows(conversation_id=kept.pk))
    assert [row.event_id for row in rows] == list(range(5))
    assert [row.cause for row in rows] == [None, None, 1, None, None]
    assert rows[0].timestamp == datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC)
    lease = LoopLease.objects.get(pk=kept.pk)
    assert (lease.requested, lease.served, lease.lease_expires_at) == (0, 0, None)


@pytest.mark.parametrize(
    ("title", "kept", "source"),
    [
        (f"Conversation {ID[:5]}", "", "default"),
        ("Conversation abcde", "Conversation abcde", "default"),
        (None, "", "default"),
        ("Conversation about cats", "Conversation about cats", "user"),
        ("x" * 300, "x" * 255, "user"),
    ],
)
def test_only_a_default_title_may_be_made_anew(
    store: Store, title: str | None, kept: str, source: str
) -> None:
    store.conversation(message("Hi"), state("stopped"), title=title)
    conversation = imported(store)
    assert (conversation.title, conversation.title_source) == (kept, source)


_CALL = {"tool_call_metadata": tool_call()}
_ASKS = state("awaiting_user_confirmation")


@pytest.mark.parametrize(
    ("events", "added", "last_state"),
    [
        ([], ["stopped"], "stopped"),
        ([message("Hi"), state("loading")], ["stopped"], "stopped"),
        ([state("running"), run("a"), run("b")], [0, 1, "stopped"], "stopped"),
        ([run("a"), state("stopped")], [2], "stopped"),
        ([state("finished"), run("a", source="user")], [0], "finished"),
        ([state("user_confirmed"), run("a")], [0, "stopped"], "stopped"),
        ([state("user_rejected"), run("a")], [3, "stopped"], "stopped"),
        ([_ASKS, run("a"), _ASKS, run("b")], [2], "awaiting_user_confirmation"),
        ([_ASKS], ["stopped"], "stopped"),
        ([run("a") | _CALL, state("running"), run("a") | _CALL], [2, 0, "stopped"], "stopped"),
        ([event(action="edit", args={"path": "x", "content": ""})], [0, "stopped"], "stopped"),
        ([state("running"), run("a", source="environment")], [0, "stopped"], "stopped"),
        ([state("paused")], [], "paused"),
        ([state("rate_limited")], [], "rate_limited"),
    ],
)
def test_what_was_open_is_settled_and_rests(
    store: Store, events: list[JSON], added: list[int | str], last_state: str
) -> None:
    said = ["outcome is unknown", "process ended before", "not executed.", "did not allow"]
    store.conversation(*events)
    kept = imported(store)
    assert kept.agent_state == last_state
    rows = list(all_event_rows(conversation_id=kept.pk))[len(events) :]
    assert len(rows) == len(added)
    for row, expected in zip(rows, added, strict=True):
        assert (row.source, row.payload.get("imported_id")) == ("environment", None)
        if isinstance(expected, int):
            assert said[expected] in row.payload["content"]
        else:
            extras = {"agent_state": expected, "reason": "imported"}
            assert row.payload["extras"] == extras
    # A question stays open, and nothing else does.
    assert len(unsettled_action_ids(kept.pk)) == (last_state == "awaiting_user_confirmation")


def test_secrets_are_masked_wherever_they_stand(store: Store) -> None:
    settings_store(user=local_user_get(), fields={"llm_api_key": "sk-in-use-here"})
    tokens = {"github": {"token": "ghp_of_the_store", "user_id": None}, "gitlab": "glpat-of-it"}
    store.settings(llm_api_key="sk-of-the-store", secrets_store={"provider_tokens": tokens})
    store.conversation(
        message("My key is sk-of-the-store."),
        run("curl -H sk-in-use-here", other={"ghp_of_the_store": ["glpat-of-it"]}),
        ran(1, "ghp_of_the_store") | {"message": "sk-of-the-store"},
        title="About sk-of-the-store",
    )
    assert in_process(store.path).code == 0
    assert Conversation.objects.get().title == f"About {MASK}"
    stored = repr(list(EventRecord.objects.values()))
    for secret in ("sk-of-the-store", "sk-in-use-here", "ghp_of", "glpat-"):
        assert secret not in stored
    assert MASK in stored


def test_a_dry_run_changes_nothing_and_says_what_would_be_done(store: Store) -> None:
    store.settings(llm_api_key="sk-1")
    store.conversation(message("Hi"), state("running"))
    store.conversation(event(), conversation_id=OTHER_ID)
    done = in_process(store.path, "--dry-run")
    assert (done.code, done.outcomes) == (1, {ID: "imported", OTHER_ID: "skipped"})
    assert (done.report["dry_run"], done.report["events"]) == (True, 3)
    assert "The rest would be taken over." in done.err
    for model in (User, UserSettings, Conversation, EventRecord, LoopLease):
        assert not model._default_manager.exists()


def test_a_second_run_doubles_nothing_and_names_what_went_on(store: Store) -> None:
    folder = store.conversation(message("Hi"), state("stopped"))
    owner = imported(store).owner
    message_send(conversation=Conversation.objects.get(), content="On we go here.")
    before = kinds_and_causes()
    again = in_process(store.path)
    assert (again.code, again.outcomes) == (0, {ID: "already_there"})
    store.event(folder, 2, message("On we go there."))
    store.event(folder, 3, state("running"))
    third = in_process(store.path)
    assert (third.code, third.outcomes) == (0, {ID: "went_on"})
    assert "it went on in the original: 2 later events there were not imported" in third.err
    assert kinds_and_causes() == before
    assert conversation_delete(conversation=Conversation.objects.get())
    fourth = in_process(store.path)
    assert (fourth.code, fourth.outcomes) == (0, {ID: "already_there"})
    assert "it was deleted here" in fourth.err
    assert not Conversation.objects.visible_to(owner).exists()


def test_a_larger_conversation_is_read_in_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.openhands_store.log.BATCH_BYTES", 2_000)
    events = [item for n in range(20) for item in (run(f"echo {n}"), ran(2 * n, str(n)))]
    store.conversation(*events, state("finished"))
    kept = imported(store)
    rows = list(all_event_rows(conversation_id=kept.pk))
    assert [row.event_id for row in rows] == list(range(41))
    assert [row.payload["content"] for row in rows[1::2]] == [str(n) for n in range(20)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_read_counts_and_progress(store: Store) -> None:
    store.conversation(message("Hi"), state("stopped"))
    store.conversation(message("Hi"), conversation_id=OTHER_ID, title=3)

    out, err = Terminal(), Terminal()
    with pytest.raises(CommandError, match="Skipped: 1, named above"):
        call_command("import_openhands", str(store.path), stdout=out, stderr=err)
    assert "Conversations imported:                 1\n" in out.getvalue()
    assert "2 of 2 conversations" in err.getvalue()
