"""Titles made by an LLM: in the background after the first message, and when a user asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from conversations.agent.llm import LLM, LLMError, Usage
from conversations.agent.titles import title_ask, title_from_answer, title_from_start
from conversations.events.actions import MessageAction
from conversations.events.base import EventSource
from conversations.events.cleaning import clean, maskable
from conversations.models import Conversation, EventRecord, TitleSource
from conversations.services.transactions import in_db_thread, write_transaction
from conversations.services.usage import usage_add
from conversations.telemetry import telemetry
from settings_app.exceptions import SettingsAppError
from settings_app.selectors import EffectiveSettings, settings_for

log = structlog.get_logger(__name__)

#: Seconds that a model gets to make a title.
DEADLINE_SECONDS: Final = 10.0
#: Seconds more that a request waits for the rows around it.
_MARGIN_SECONDS: Final = 2.0
#: Requests that may wait for a model, each on a thread that no other request gets meanwhile.
MAX_WAITING: Final = 4
#: A second generation follows where the first one's title came too late to be kept.
_TRIES: Final = 2

LLMFor = Callable[[EffectiveSettings], LLM]


class _Outcome(Enum):
    """What became of a title that was made."""

    KEPT = auto()
    #: Somebody else has changed the title since it was asked for.
    OVERTAKEN = auto()
    #: The conversation was deleted.
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Expected:
    """The title and title_source that stood there when a new title was asked for.

    Only these are overwritten: whatever a user gives later stays.
    """

    title: str
    title_source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What a title is made of."""

    now: Expected
    first_message: str
    #: None where nothing is set, or it cannot be read.
    settings: EffectiveSettings | None


def _subject(conversation_id: UUID) -> _Subject | None:
    rows = Conversation.objects.alive().filter(pk=conversation_id)
    row = rows.values_list("title", "title_source", "owner_id").first()
    if row is None:
        return None
    messages = EventRecord.objects.filter(
        conversation_id=conversation_id, source=EventSource.USER, action=MessageAction.kind
    ).exclude(payload__args__content="")
    payload = messages.order_by("event_id").values_list("payload", flat=True).first()
    try:
        user_settings = settings_for(user_id=row[2])
    except SettingsAppError as error:
        # Said aloud where the key is needed to work; a title can do without.
        log.warning("title_without_llm", conversation=conversation_id.hex, error=str(error))
        user_settings = None
    return _Subject(
        now=Expected(row[0], row[1]),
        first_message=str(payload["args"]["content"]) if payload else "",
        settings=user_settings,
    )


def _store(
    conversation_id: UUID, expected: Expected, subject: _Subject, made: str, usage: Usage | None
) -> _Outcome:
    """Count what the title has cost, and keep it where nobody has changed the title meanwhile."""
    from_start = title_from_start(subject.first_message)
    secrets = maskable(subject.settings.secrets if subject.settings else ())
    title = str(clean(made, secrets)) or from_start
    source = TitleSource.GENERATED if title else TitleSource.DEFAULT
    replaceable = Q(title=expected.title, title_source=expected.title_source)
    if made:
        # What somebody got who could not wait for this title.
        replaceable |= Q(title=from_start, title_source=TitleSource.GENERATED)
    now = timezone.now()
    with write_transaction():
        alive = Conversation.objects.alive().filter(pk=conversation_id)
        if usage and not usage_add(conversation_id=conversation_id, usage=usage, now=now):
            return _Outcome.GONE
        if alive.filter(replaceable).update(title=title, title_source=source):
            transaction.on_commit(partial(telemetry.title_made, by_llm=bool(made)))
            return _Outcome.KEPT
        return _Outcome.OVERTAKEN if alive.exists() else _Outcome.GONE


class TitleMaker:
    """Makes titles in this process's event loop: one at a time for a conversation."""

    def __init__(self, *, llm_for: LLMFor, seconds: float = DEADLINE_SECONDS) -> None:
        self._llm_for = llm_for
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[UUID, asyncio.Task[_Outcome]] = {}
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    async def start(self) -> None:
        """Take requests of this process from now on."""
        self._loop = asyncio.get_running_loop()
        _installed[:] = [self]

    async def stop(self) -> None:
        """Give up what is being made: the default stays, and is made good at the next turn."""
        _installed.clear()
        self._loop = None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def begin(self, conversation_id: UUID, expected: Expected) -> None:
        """Make a title in the background. In the event loop."""
        if self._loop is not None:
            self._task(conversation_id, expected)

    async def make(self, conversation_id: UUID, expected: Expected) -> bool:
        """Make a title, or wait for the one that is being made. False: no such conversation."""
        outcome = _Outcome.OVERTAKEN
        for _ in range(_TRIES):
            if self._loop is None:
                raise asyncio.CancelledError
            is_first = conversation_id not in self._tasks
            # Shielded: a waiter that gives up takes nothing from the others.
            outcome = await asyncio.shield(self._task(conversation_id, expected))
            # What overtook another's title may be just what this one was asked to replace.
            if is_first or outcome is not _Outcome.OVERTAKEN:
                break
        return outcome is not _Outcome.GONE

    def wait_for(self, conversation_id: UUID, expected: Expected) -> bool | None:
        """Make a title and wait on this thread; None where that is not to be had in time."""
        with self.place() as is_free:
            loop = self._loop
            if loop is None or not is_free:
                return None
            future = asyncio.run_coroutine_threadsafe(self.make(conversation_id, expected), loop)
            try:
                return future.result(self._seconds + _MARGIN_SECONDS)
            except (TimeoutError, CancelledError):
                future.cancel()
                return None

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Take one of the places for those who wait; False where there is none left."""
        is_free = self._waiting.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._waiting.release()

    def _task(self, conversation_id: UUID, expected: Expected) -> asyncio.Task[_Outcome]:
        task = self._tasks.get(conversation_id)
        if task is None:
            task = asyncio.create_task(self._make(conversation_id, expected))
            self._tasks[conversation_id] = task
            task.add_done_callback(partial(self._done, conversation_id))
        return task

    def _done(self, conversation_id: UUID, task: asyncio.Task[_Outcome]) -> None:
        self._tasks.pop(conversation_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("title_not_made", conversation=conversation_id.hex, exc_info=error)

    async def _make(self, conversation_id: UUID, expected: Expected) -> _Outcome:
        subject = await in_db_thread(_subject, conversation_id)
        if subject is None:
            return _Outcome.GONE
        if subject.now != expected:
            return _Outcome.OVERTAKEN
        title, usage = await self._ask(conversation_id, subject)
        return await in_db_thread(_store, conversation_id, expected, subject, title, usage)

    async def _ask(self, conversation_id: UUID, subject: _Subject) -> tuple[str, Usage | None]:
        """Give a title and what it cost; "" where the model makes none in time."""
        user = subject.settings
        if user is None or not user.is_set or not subject.first_message.strip():
            return "", None
        try:
            async with asyncio.timeout(self._seconds):
                response = await title_ask(self._llm_for(user), subject.first_message)
        except (LLMError, TimeoutError) as error:
            reason = str(error) or f"no answer in {self._seconds:g} s"
            log.info("title_without_llm", conversation=conversation_id.hex, error=reason)
            return "", None
        return title_from_answer(response.content), response.usage


_installed: list[TitleMaker] = []


def title_generate(*, conversation: Conversation) -> bool:
    """Give a conversation a title that is made: by the user's model, else of its first message.

    It replaces the title that `conversation` was read with, even one that a user gave, and nothing
    that a user gives meanwhile. Waits up to 12 seconds; where too many wait, or this process makes
    no titles, it takes the message. False where the conversation was deleted. Not for the thread
    that async code shares.
    """
    expected = Expected(conversation.title, conversation.title_source)
    for maker in _installed:
        made = maker.wait_for(conversation.pk, expected)
        if made is not None:
            return made
    subject = _subject(conversation.pk)
    if subject is None:
        return False
    return _store(conversation.pk, expected, subject, "", None) is not _Outcome.GONE
