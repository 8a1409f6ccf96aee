"""The import killed with -9: a conversation is whole or not there; the next run does the rest."""

from __future__ import annotations

import signal
from pathlib import Path

from conversations.models import Conversation, EventRecord, LoopLease
from tests.commands.stores import ID, OTHER_ID, Store, as_process, message, ran, run
from tests.databases import shared_database_environment
from tests.killed_server import ORDER

THIRD_ID = "33" * 16
EVENTS = 4


def rows(conversation_id: str) -> tuple[int, int, int]:
    return (
        Conversation.objects.filter(pk=conversation_id).count(),
        EventRecord.objects.filter(conversation_id=conversation_id).count(),
        LoopLease.objects.filter(conversation_id=conversation_id).count(),
    )


def test_after_kill_9_in_the_middle_the_next_run_does_the_rest(
    transactional_db: None, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    for conversation_id in (ID, OTHER_ID, THIRD_ID):
        # The fourth event is the state that an import adds.
        events = (message("Do it"), run("ls"), ran(1))
        store.conversation(*events, conversation_id=conversation_id)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    environment = {"DATA_DIR": str(data_dir), **shared_database_environment()}
    killed = ("-m", "tests.killed_server")
    order = data_dir / ORDER
    whole = (1, EVENTS, 1)
    # The statements that name it: look, conversation, events, added events, lease.
    for statement in (3, 5):
        order.write_text(f"{OTHER_ID} {statement}")
        done = as_process(environment, store.path, entry=killed)
        assert (done.code, done.out) == (-signal.SIGKILL, "")
        assert [rows(i) for i in (ID, OTHER_ID, THIRD_ID)] == [whole, (0, 0, 0), (0, 0, 0)]
    order.write_text(f"{THIRD_ID} 1")
    assert as_process(environment, store.path, entry=killed).code == -signal.SIGKILL
    assert [rows(i) for i in (ID, OTHER_ID, THIRD_ID)] == [whole, whole, (0, 0, 0)]
    order.unlink()
    done = as_process(environment, store.path, "--json")
    assert (done.code, done.report["counts"]["already_there"]) == (0, 2)
    assert done.outcomes[THIRD_ID] == "imported"
    assert [rows(i) for i in (ID, OTHER_ID, THIRD_ID)] == [whole, whole, whole]
