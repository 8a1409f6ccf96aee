"""Writers that meet: on one conversation, on their user's day, and behind a claim."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from conversations.agent.llm import Usage
from conversations.agent.settling import state_changed
from conversations.events.codec import user_message
from conversations.events.states import AgentState
from conversations.exceptions import FencedError
from conversations.models import Conversation, DailyUsage, LoopLease, TurnFailure
from conversations.services.event_log import event_append
from conversations.services.leases import (
    lease_claim,
)
from conversations.services.messages import message_send
from conversations.services.transactions import write_transaction
from tests.postgresql import needs_postgresql
from tests.services.reading import assert_sound, told
from tests.waiting import until_true

Make = Callable[..., Conversation]


@pytest.fixture
def eight_threads() -> Callable[[Callable[[int], None]], None]:
    def run_all(work: Callable[[int], None]) -> None:
        failures: list[BaseException] = []

        def guarded(number: int) -> None:
            try:
                work(number)
            except BaseException as error:  # noqa: BLE001  # reported by the test's own thread
                failures.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=guarded, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []

    return run_all


def test_eight_writers_leave_a_dense_log(
    conversation_of: Make, eight_threads: Callable[[Callable[[int], None]], None]
) -> None:
    conversation = conversation_of()

    def write(number: int) -> None:
        for n in range(20):
            message_send(conversation=conversation, content=f"{number} {n}")

    eight_threads(write)
    assert_sound(conversation, at_rest=False)
    assert told(conversation).count("user message") == 161
    assert LoopLease.objects.get(conversation=conversation).requested == 161


def test_the_answers_of_eight_writers_are_all_counted(
    conversation_of: Make, eight_threads: Callable[[Callable[[int], None]], None]
) -> None:
    conversations = [conversation_of() for _ in range(8)]
    usage = Usage(prompt_tokens=3, completion_tokens=2, cost=0.5)

    def write(number: int) -> None:
        for n in range(5):
            said = user_message(str(n))
            event_append(conversation_id=conversations[number].pk, events=[said], usage=usage)

    eight_threads(write)
    day = DailyUsage.objects.get()
    assert (day.cost, day.prompt_tokens, day.completion_tokens) == (20.0, 120, 80)
    for conversation in conversations:
        assert_sound(conversation, at_rest=False)
        conversation.refresh_from_db()
        assert conversation.accumulated_cost == 2.5
        assert conversation.total_tokens == 25


def test_an_append_is_one_statement_where_the_database_can(conversation_of: Make) -> None:
    conversation = conversation_of()
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    failed = state_changed(AgentState.ERROR, "internal_error")
    with CaptureQueriesContext(connection) as plain:
        event_append(conversation_id=conversation.pk, events=[user_message("a")])
    with CaptureQueriesContext(connection) as full:
        events = [user_message(str(n)) for n in range(300)]
        event_append(conversation_id=conversation.pk, events=[*events, failed], usage=usage)
    # PostgreSQL: one message, and word to other processes in it, behind the commit. SQLite: the
    # beginning, the row, what is stored with it, the end.
    at_once = connection.vendor == "postgresql"
    assert len(plain) == (1 if at_once else 4)
    assert len(full) == (1 if at_once else 6)
    sent = plain.captured_queries[-1]["sql"]
    assert not at_once or sent.index("COMMIT;") < sent.index("pg_notify")
    assert_sound(conversation, at_rest=False)
    assert told(conversation)[-2:] == ["user message", "state error"]
    failure = TurnFailure.objects.get(conversation=conversation)
    assert (failure.state, failure.reason) == ("error", "internal_error")


def test_an_append_that_waits_for_a_claim_is_fenced_by_it(conversation_of: Make) -> None:
    conversation = conversation_of()
    before = told(conversation)
    refused: list[FencedError] = []

    def write() -> None:
        try:
            event_append(conversation_id=conversation.pk, events=[user_message("late")], epoch=0)
        except FencedError as error:
            refused.append(error)
        finally:
            connection.close()

    waiting = "SELECT count(*) FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    writer = threading.Thread(target=write)
    with write_transaction(), connection.cursor() as cursor:
        Conversation.objects.filter(pk=conversation.pk).update(epoch=F("epoch") + 1)
        writer.start()
        if connection.vendor == "postgresql":
            # On SQLite nobody begins a transaction to write while another is open.
            until_true(lambda: cursor.execute(waiting).fetchone()[0] > 0)
    writer.join(60)
    assert len(refused) == 1
    assert told(conversation) == before


@needs_postgresql
def test_an_append_that_fails_leaves_no_transaction_open(conversation_of: Make) -> None:
    conversation = conversation_of()
    before = told(conversation)
    holding, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with write_transaction():
                Conversation.objects.filter(pk=conversation.pk).update(epoch=F("epoch"))
                holding.set()
                over.wait(60)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert holding.wait(60)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            event_append(conversation_id=conversation.pk, events=[user_message("late")])
        # What others do is seen, and what is stored from now on holds.
        assert told(conversation) == before
    finally:
        over.set()
        holder.join(60)
    event_append(conversation_id=conversation.pk, events=[user_message("now")])
    assert told(conversation) == [*before, "user message"]
    assert_sound(conversation, at_rest=False)


def test_eight_claims_at_once_give_one_lease(
    conversation_of: Make, eight_threads: Callable[[Callable[[int], None]], None]
) -> None:
    conversation = conversation_of()
    got: list[int] = []

    def claim(number: int) -> None:
        if lease_claim(conversation_id=conversation.pk, process=str(number)) is not None:
            got.append(number)

    eight_threads(claim)
    assert len(got) == 1
    assert Conversation.objects.get(pk=conversation.pk).epoch == 1
