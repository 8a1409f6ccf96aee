"""Create, rename and delete conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from conversations.agent.replay import first_message
from conversations.agent.settling import state_changed
from conversations.bus import get_bus
from conversations.dispatch import lease_create
from conversations.events.base import JSONObject, NewEvent
from conversations.events.cleaning import clean, maskable
from conversations.events.codec import user_message
from conversations.events.states import AgentState
from conversations.exceptions import (
    HandrailError,
    IdempotencyKeyReusedError,
    LLMKeyMissingError,
    SettingsNotFoundError,
)
from conversations.models import Control, Conversation, LoopLease, TitleSource
from conversations.services.event_log import log_begin
from conversations.services.transactions import write_transaction
from conversations.telemetry import telemetry
from settings_app.selectors import EffectiveSettings, settings_for

if TYPE_CHECKING:
    from settings_app.models import User

#: Inserts of one create, where others delete the conversation that has its key.
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Names a request that may be sent twice: its Idempotency-Key and a digest of its body."""

    key: str
    digest: str


def conversation_create(
    *,
    owner: User,
    initial_user_msg: str = "",
    image_urls: Sequence[str] = (),
    selected_repository: str = "",
    selected_branch: str = "",
    recording: list[JSONObject] | None = None,
    request_key: RequestKey | None = None,
) -> Conversation:
    """Store a conversation with its first events, and ask for its first turn where there is a task.

    With a recording (of agent.replay.recording_from_json) neither settings nor a key are needed.
    With a request key that has created a conversation, gives that one and stores nothing.

    Raises SettingsNotFoundError, LLMKeyMissingError or IdempotencyKeyReusedError; then nothing is
    stored.
    """
    new = Conversation(
        owner=owner,
        selected_repository=selected_repository,
        selected_branch=selected_branch,
        replay=recording,
        idempotency_key=request_key.key if request_key else "",
        idempotency_digest=request_key.digest if request_key else "",
    )
    if recording and not initial_user_msg and not image_urls:
        initial_user_msg = first_message(recording)
    events = _first_events(initial_user_msg, image_urls, works=bool(recording))
    return _stored(new, events, request_key)


def _stored(
    new: Conversation, events: Sequence[NewEvent], request_key: RequestKey | None
) -> Conversation:
    """Store a conversation, or give the one that the same request has created before."""
    failure: Exception = AssertionError()
    for _ in range(_TRIES):
        try:
            _store(new, events)
        except (IntegrityError, HandrailError) as error:
            failure = error
        else:
            return new
        # Looked for only now: a first request, the common case, costs no query more.
        earlier = _created_by(request_key, new.owner)
        if earlier is not None:
            return earlier
        if request_key is None or isinstance(failure, HandrailError):
            break
        # The key's conversation was deleted in between: the key is free.
    raise failure


def _created_by(request_key: RequestKey | None, owner: User) -> Conversation | None:
    if request_key is None:
        return None
    rows = Conversation.objects.visible_to(owner).filter(idempotency_key=request_key.key)
    earlier = rows.defer("replay").first()
    if earlier is not None and earlier.idempotency_digest != request_key.digest:
        raise IdempotencyKeyReusedError
    return earlier


def _store(new: Conversation, events: Sequence[NewEvent]) -> None:
    user_settings = settings_for(user_id=new.owner_id)
    secrets = user_settings.secrets if user_settings else ()
    if new.replay is None:
        _check_key(user_settings)
    else:
        # Kept beside the log, and masked as the log is.
        new.replay = clean(new.replay, maskable(secrets))
    new.created_at = new.last_updated_at = timezone.now()
    with write_transaction():
        log_begin(
            conversation=new,
            events=events,
            secrets=secrets,
        )
        lease_create(new.pk, wanted=new.agent_state == AgentState.LOADING)


def _check_key(user_settings: EffectiveSettings | None) -> None:
    if user_settings is None:
        raise SettingsNotFoundError
    if not user_settings.llm_api_key.strip():
        raise LLMKeyMissingError


def _first_events(text: str, image_urls: Sequence[str], *, works: bool) -> list[NewEvent]:
    messages = [user_message(text, tuple(image_urls))] if text or image_urls else []
    state = AgentState.LOADING if messages or works else AgentState.AWAITING_USER_INPUT
    return [*messages, state_changed(state)]


def conversation_rename(*, conversation: Conversation, title: str) -> bool:
    """Store a title that a user gave; nothing but his own next one overwrites it.

    False where the conversation was deleted meanwhile.
    """
    with write_transaction():
        alive = Conversation.objects.alive().filter(pk=conversation.pk)
        return bool(alive.update(title=title, title_source=TitleSource.USER))


def conversation_delete(*, conversation: Conversation) -> bool:
    """Take a conversation out of everybody's sight at once and stop its loop; False if it is gone.

    Sandbox, workspace and rows are removed by services.cleanup, which survives a crash.
    """
    with write_transaction():
        alive = Conversation.objects.alive().filter(pk=conversation.pk)
        if not alive.update(deleted_at=timezone.now(), idempotency_key=""):
            return False
        epoch = Conversation.objects.values_list("epoch", flat=True).get(pk=conversation.pk)
        LoopLease.objects.filter(conversation_id=conversation.pk).update(
            control=Control.STOP, control_epoch=epoch
        )
        transaction.on_commit(partial(_announce_end, conversation.pk))
    return True


def _announce_end(conversation_id: UUID) -> None:
    get_bus().publish(conversation_id)
    telemetry.conversation_deleted()


def conversation_delete_if_old(
    *, conversation_id: UUID, before: datetime, even_running: bool = False
) -> bool:
    """Delete a conversation that nothing was added to since `before`; False where it is kept.

    One that runs, is wanted, or was left behind by a runner that died is kept too, unless
    `even_running`.
    """
    with write_transaction():
        # Under the row's lock: a message or a claim comes before it and counts, or after it and
        # finds no conversation.
        rows = Conversation.objects.alive().select_for_update(no_key=True)
        row = rows.only("pk").filter(pk=conversation_id, last_updated_at__lt=before).first()
        if row is None:
            return False
        if not even_running and LoopLease.objects.in_use().filter(conversation=row).exists():
            return False
        return conversation_delete(conversation=row)
