"""Fills a database by SQL inside it, a million conversations in seconds. It measures nothing."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connections

from benchmarks.sizes import PAGE
from benchmarks.urls import OWNER
from conversations.events.actions import RunAction
from conversations.events.base import EventSource, NewEvent
from conversations.events.observations import RunObservation
from conversations.models import Conversation
from conversations.selectors import PageKey
from conversations.services.event_log import event_append
from settings_app.models import User
from settings_app.services import LOCAL_USERNAME

#: Seconds between two conversations.
_APART: Final = 10
_BATCH: Final = 500
_COLUMNS: Final = """INSERT INTO conversations_conversation (id, owner_id, title, title_source,
    selected_repository, selected_branch, created_at, last_updated_at, last_event_id, epoch,
    agent_state, accumulated_cost, prompt_tokens, completion_tokens, total_tokens,
    idempotency_key, idempotency_digest)"""
_SQLITE: Final = f"""{_COLUMNS}
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s),
    rows(n, at) AS (SELECT n, strftime('%%Y-%%m-%%d %%H:%%M:%%S.000001', 'now',
        '-' || (n * {_APART}) || ' seconds') FROM numbers)
    SELECT lower(hex(randomblob(16))), {OWNER}, 'Mend the test number ' || n, 'generated',
        'octocat/hello-world', 'main', at, at, -1, 0, 'awaiting_user_input', 0, 0, 0, 0, '', ''
    FROM rows"""  # noqa: S608  # numbers of our own
_POSTGRESQL: Final = f"""{_COLUMNS}
    SELECT gen_random_uuid(), {OWNER}, 'Mend the test number ' || n, 'generated',
        'octocat/hello-world', 'main', at, at, -1, 0, 'awaiting_user_input', 0, 0, 0, 0, '', ''
    FROM (SELECT n, date_trunc('second', now()) - n * interval '{_APART} seconds' AS at
        FROM generate_series(1, %s) AS n) AS rows"""  # noqa: S608  # numbers of our own
_LEASES: Final = """INSERT INTO conversations_looplease
    (conversation_id, requested, served, holder, control, control_epoch)
    SELECT id, 1, 1, '', '', 0 FROM conversations_conversation ORDER BY id"""


def conversations_seed(alias: str, number: int) -> None:
    """Store the one user, and `number` conversations of his that rest, and look at the tables."""
    user = User(pk=OWNER, username=LOCAL_USERNAME)
    user.set_unusable_password()
    user.save(using=alias, force_insert=True)
    connection = connections[alias]
    on_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        if on_sqlite:
            # Ids are random: with the default of 2 MB each insert would read its page anew.
            cursor.execute("PRAGMA cache_size = -500000")
        cursor.execute(_SQLITE if on_sqlite else _POSTGRESQL, [number])
        cursor.execute(_LEASES)
        if on_sqlite:
            cursor.execute("PRAGMA cache_size = -2000")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.execute("ANALYZE" if on_sqlite else "VACUUM ANALYZE")


def deepest_key(alias: str) -> PageKey:
    """Give the place before the deepest full page."""
    rows = Conversation.objects.using(alias).order_by("created_at", "id")
    return rows.values_list("created_at", "id")[PAGE]


def some_conversations(number: int) -> list[UUID]:
    """Give conversations from the middle of the list."""
    rows = Conversation.objects.order_by("-created_at", "-id")
    start = rows.count() // 2
    return list(rows.values_list("pk", flat=True)[start : start + number])


def log_seed(conversation_id: UUID, number: int) -> None:
    """Append `number` events, commands and what came back, through the log's own door."""
    for start in range(0, number, _BATCH):
        event_append(
            conversation_id=conversation_id,
            events=[event_make(event_id) for event_id in range(start, min(start + _BATCH, number))],
        )


def event_make(event_id: int) -> NewEvent:
    """Give a command, or what came back of the one before it."""
    command = f"python -m pytest tests/test_{event_id // 2}.py --quiet"
    if event_id % 2 == 0:
        body = RunAction(command=command, thought="The test may tell what is wrong.")
        return NewEvent(source=EventSource.AGENT, body=body)
    seen = RunObservation(
        content="collected 12 items\n............\n12 passed in 0.31s\n" * 3,
        command=command,
        exit_code=0,
        working_dir="/workspace",
    )
    return NewEvent(source=EventSource.AGENT, body=seen, cause=event_id - 1)
