"""A process that freezes within a transaction loses it, and nobody waits for it for long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import Error, OperationalError, connection, transaction
from pytest_django import Settings

from conversations.models import Conversation
from conversations.services.messages import message_send
from project.postgresql.base import process_serves
from settings_app.models import User
from tests.commands.operating import conversation
from tests.postgresql import needs_postgresql

pytestmark = needs_postgresql
FROZEN = 30.0
SHORT = 0.3


@pytest.fixture
def _serves() -> Iterator[None]:
    """Let this process be a server's, for connections made from now on."""
    process_serves("web")
    yield
    process_serves("command")


@pytest.fixture
def elsewhere(_serves: None) -> Iterator[Callable[[Callable[[], None]], Future[None]]]:
    """Give what runs something on a thread with a connection of its own."""
    with ThreadPoolExecutor() as pool:

        def run(work: Callable[[], None]) -> Future[None]:
            def guarded() -> None:
                try:
                    work()
                finally:
                    connection.close()

            return pool.submit(guarded)

        yield run


class Frozen:
    """Holds a conversation's row within a transaction, and does nothing."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.holds = threading.Event()
        self.thaw = threading.Event()

    def __call__(self) -> None:
        with transaction.atomic():
            Conversation.objects.lock(self._conversation.pk)
            self.holds.set()
            self.thaw.wait(FROZEN)
            Conversation.objects.filter(pk=self._conversation.pk).exists()


def test_a_frozen_process_loses_its_transaction(
    user: User, elsewhere: Callable[[Callable[[], None]], Future[None]], settings: Settings
) -> None:
    settings.DATABASE_TIMEOUTS = replace(settings.DATABASE_TIMEOUTS, idle=SHORT)
    held = conversation(user)
    frozen = Frozen(held)
    its_end = elsewhere(frozen)
    assert frozen.holds.wait(FROZEN)
    message_send(conversation=held, content="Stored, once the lock is gone.")
    assert not frozen.thaw.is_set()
    frozen.thaw.set()
    assert isinstance(its_end.exception(FROZEN), Error)


def test_nobody_waits_for_a_lock_for_long(
    user: User, elsewhere: Callable[[Callable[[], None]], Future[None]], settings: Settings
) -> None:
    settings.DATABASE_TIMEOUTS = replace(settings.DATABASE_TIMEOUTS, lock=SHORT)
    held = conversation(user)
    frozen = Frozen(held)
    its_end = elsewhere(frozen)
    assert frozen.holds.wait(FROZEN)
    waiting = elsewhere(lambda: message_send(conversation=held, content="Refused."))
    try:
        assert isinstance(waiting.exception(FROZEN / 2), OperationalError)
    finally:
        frozen.thaw.set()
    assert its_end.exception(FROZEN) is None
