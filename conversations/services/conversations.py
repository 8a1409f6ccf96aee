"""Create, rename and delete conversations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from conversations.agent.replay import first_message
from conversations.agent.settling import state_changed
from conversations.bus import get_bus
from conversations.dispatch import request_turn
from conversations.events.base import JSONObject, NewEvent
from conversations.events.codec import user_message
from conversations.events.states import AgentState
from conversations.exceptions import LLMKeyMissingError, SettingsNotFoundError
from conversations.models import Control, Conversation, LoopLease, TitleSource
from conversations.services.event_log import event_append
from conversations.services.transactions import write_transaction
from settings_app.selectors import settings_for

if TYPE_CHECKING:
    from settings_app.models import User

#: Characters of the first message that make the title where no LLM makes a better one.
TITLE_START = 30


def conversation_create(
    *,
    owner: User,
    initial_user_msg: str = "",
    image_urls: Sequence[str] = (),
    selected_repository: str = "",
    selected_branch: str = "",
    recording: list[JSONObject] | None = None,
) -> Conversation:
    """Store a conversation with its first events, and ask for its first turn where there is a task.

    With a recording (of agent.replay.recording_from_json) neither settings nor a key are needed.
    Raises SettingsNotFoundError or LLMKeyMissingError; then nothing is stored.
    """
    user_settings = settings_for(user_id=owner.pk)
    if recording is None:
        if user_settings is None:
            raise SettingsNotFoundError
        if not user_settings.llm_api_key.strip():
            raise LLMKeyMissingError
    elif not initial_user_msg and not image_urls:
        initial_user_msg = first_message(recording)
    has_message = bool(initial_user_msg or image_urls)
    events = _first_events(initial_user_msg, image_urls, works=has_message or bool(recording))
    now = timezone.now()
    with write_transaction():
        conversation = Conversation.objects.create(
            owner=owner,
            selected_repository=selected_repository,
            selected_branch=selected_branch,
            created_at=now,
            last_updated_at=now,
            replay=recording,
        )
        LoopLease.objects.create(conversation=conversation)
        event_append(
            conversation_id=conversation.pk,
            events=events,
            secrets=user_settings.secrets if user_settings else (),
        )
        if has_message or recording:
            request_turn(conversation.pk)
    return conversation


def _first_events(text: str, image_urls: Sequence[str], *, works: bool) -> list[NewEvent]:
    if not works:
        return [state_changed(AgentState.AWAITING_USER_INPUT)]
    messages = [user_message(text, tuple(image_urls))] if text or image_urls else []
    return [*messages, state_changed(AgentState.LOADING)]


def conversation_rename(*, conversation: Conversation, title: str) -> None:
    """Store a title that a user gave; nothing but his own next one overwrites it."""
    with write_transaction():
        Conversation.objects.alive().filter(pk=conversation.pk).update(
            title=title, title_source=TitleSource.USER
        )


def conversation_title_derive(*, conversation: Conversation) -> None:
    """Make a title from the start of the first user message, where a user has not given one."""
    message = (
        conversation.eventrecord_set.filter(source="user", action="message")
        .order_by("event_id")
        .first()
    )
    text = " ".join(str(message.payload["args"]["content"]).split()) if message else ""
    if not text:
        return
    title = text[:TITLE_START] + ("..." if len(text) > TITLE_START else "")
    with write_transaction():
        # Compare and swap: a title given meanwhile stays.
        Conversation.objects.alive().filter(
            pk=conversation.pk, title=conversation.title, title_source=conversation.title_source
        ).update(title=title, title_source=TitleSource.GENERATED)


def conversation_delete(*, conversation: Conversation) -> bool:
    """Take a conversation out of everybody's sight at once and stop its loop; False if it is gone.

    Sandbox, workspace and rows are removed by services.cleanup, which survives a crash.
    """
    with write_transaction():
        alive = Conversation.objects.alive().filter(pk=conversation.pk)
        if not alive.update(deleted_at=timezone.now()):
            return False
        epoch = Conversation.objects.values_list("epoch", flat=True).get(pk=conversation.pk)
        LoopLease.objects.filter(conversation_id=conversation.pk).update(
            control=Control.STOP, control_epoch=epoch
        )
        transaction.on_commit(partial(get_bus().publish, conversation.pk))
    return True
