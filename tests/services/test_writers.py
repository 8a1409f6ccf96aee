"""Eight writers at once on one conversation."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from conversations.models import Conversation, LoopLease
from conversations.services.leases import (
    lease_claim,
)
from conversations.services.messages import message_send
from tests.services.reading import assert_sound, told

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
