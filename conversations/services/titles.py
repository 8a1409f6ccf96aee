"""Titles made by an LLM: in the background after the first message, and when a user asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from uuid import UUID

import structlog

from conversations.agent.llm import LLM, LLMError, Usage
from conversations.agent.titles import title_ask, title_from_answer, title_from_start
from conversations.events.actions import MessageAction
from conversations.events.base import EventSource
from conversations.models import Conversation, EventRecord, TitleSource
from conversations.services.event_log import usage_columns
from conversations.services.transactions import in_db_thread, write_transaction
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
    #: Somebody else has changed the title since the making began.
    OVERTAKEN = auto()
    #: The conversation was deleted.
    GONE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """What stood there when the making began."""

    title: str
    title_source: str
    first_message: str
    #: None where nothing is set, or it cannot be read.
    settings: EffectiveSettings | None


def _before(conversation_id: UUID) -> _Before | None:
    rows = Conversation.objects.alive().filter(pk=conversation_id)
    row = rows.values_list("title", "title_source", "owner_id").first()
    if row is None:
        return None
    messages = EventRecord.objects.filter(
        conversation_id=conversation_id, source=EventSource.USER, action=MessageAction.kind
    ).order_by("event_id")
    payload = messages.values_list("payload", flat=True).first()
    try:
        user_settings = settings_for(user_id=row[2])
    except SettingsAppError as error:
        # Said aloud where the key is needed to work; a title can do without.
        log.warning("title_without_llm", conversation=conversation_id.hex, error=str(error))
        user_settings = None
    return _Before(
        title=row[0],
        title_source=row[1],
        first_message=str(payload["args"]["content"]) if payload else "",
        settings=user_settings,
    )


def _store(conversation_id: UUID, before: _Before, made: str, usage: Usage | None) -> _Outcome:
    """Count what the title has cost, and keep it where nobody has changed the title meanwhile."""
    title = made or title_from_start(before.first_message)
    source = TitleSource.GENERATED if title else TitleSource.DEFAULT
    with write_transaction():
        alive = Conversation.objects.alive().filter(pk=conversation_id)
        if usage is not None and not alive.update(**usage_columns(usage)):
            return _Outcome.GONE
        unchanged = alive.filter(title=before.title, title_source=before.title_source)
        if unchanged.update(title=title, title_source=source):
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
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def begin(self, conversation_id: UUID) -> None:
        """Make a title in the background. In the event loop."""
        self._task(conversation_id)

    async def make(self, conversation_id: UUID) -> bool:
        """Make a title, or wait for the one that is being made. False: no such conversation."""
        outcome = _Outcome.GONE
        for _ in range(_TRIES):
            is_first = conversation_id not in self._tasks
            # Shielded: a waiter that gives up takes nothing from the others.
            outcome = await asyncio.shield(self._task(conversation_id))
            if is_first or outcome is not _Outcome.OVERTAKEN:
                break
        return outcome is not _Outcome.GONE

    def wait_for(self, conversation_id: UUID) -> bool | None:
        """Make a title and wait on this thread; None where that is not to be had in time."""
        if self._loop is None or not self._waiting.acquire(blocking=False):
            return None
        try:
            future = asyncio.run_coroutine_threadsafe(self.make(conversation_id), self._loop)
            try:
                return future.result(self._seconds + _MARGIN_SECONDS)
            except (TimeoutError, CancelledError):
                future.cancel()
                return None
        finally:
            self._waiting.release()

    def _task(self, conversation_id: UUID) -> asyncio.Task[_Outcome]:
        task = self._tasks.get(conversation_id)
        if task is None:
            task = asyncio.create_task(self._make(conversation_id))
            self._tasks[conversation_id] = task
            task.add_done_callback(lambda done: self._done(conversation_id, done))
        return task

    def _done(self, conversation_id: UUID, task: asyncio.Task[_Outcome]) -> None:
        self._tasks.pop(conversation_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("title_not_made", conversation=conversation_id.hex, exc_info=error)

    async def _make(self, conversation_id: UUID) -> _Outcome:
        before = await in_db_thread(_before, conversation_id)
        if before is None:
            return _Outcome.GONE
        title, usage = await self._ask(conversation_id, before)
        return await in_db_thread(_store, conversation_id, before, title, usage)

    async def _ask(self, conversation_id: UUID, before: _Before) -> tuple[str, Usage | None]:
        """Give a title and what it cost; "" where the model makes none in time."""
        user = before.settings
        if user is None or not user.is_set or not before.first_message.strip():
            return "", None
        try:
            async with asyncio.timeout(self._seconds):
                response = await title_ask(self._llm_for(user), before.first_message)
        except (LLMError, TimeoutError) as error:
            reason = str(error) or f"no answer in {self._seconds:g} s"
            log.info("title_without_llm", conversation=conversation_id.hex, error=reason)
            return "", None
        return title_from_answer(response.content), response.usage


_installed: list[TitleMaker] = []


def title_generate(*, conversation: Conversation) -> bool:
    """Give a conversation a title that is made: by the user's model, else of its first message.

    It overwrites whatever stood there, even what a user gave, unless that changes meanwhile. Waits
    up to 12 seconds; where too many wait, or this process makes no titles, it takes the message.
    False where the conversation was deleted. Not for the thread that async code shares.
    """
    for maker in _installed:
        made = maker.wait_for(conversation.pk)
        if made is not None:
            return made
    before = _before(conversation.pk)
    return before is not None and _store(conversation.pk, before, "", None) is not _Outcome.GONE
