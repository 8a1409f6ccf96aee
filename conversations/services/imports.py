"""Take over a conversation of another server's store: whole, in one transaction, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import IntegrityError
from django.utils import timezone

from conversations.dispatch import lease_create
from conversations.events.cleaning import clean, maskable
from conversations.events.codec import IMPORTED_ID
from conversations.events.states import AgentState
from conversations.models import Conversation, EventRecord, TitleSource
from conversations.openhands_store.log import StoredLog
from conversations.openhands_store.metadata import MAX_TEXT, Metadata
from conversations.services.event_log import log_take_over
from conversations.services.transactions import write_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from settings_app.models import User


class Standing(StrEnum):
    """What this server knows of an id."""

    FREE = "free"
    #: This owner's, deleted or not.
    OWN = "own"
    #: Somebody else's; nobody is told more.
    TAKEN = "taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Where an id stands, and how far an import of it has come."""

    standing: Standing
    deleted: bool = False
    #: The newest number of the store that was taken over; -1 for none.
    last_imported: int = -1


def import_standing(*, owner: User, conversation_id: UUID) -> Known:
    """Say what is known of an id."""
    rows = Conversation.objects.filter(pk=conversation_id).values_list("owner_id", "deleted_at")
    found = rows.first()
    if found is None:
        return Known(standing=Standing.FREE)
    owner_id, deleted_at = found
    if owner_id != owner.pk:
        return Known(standing=Standing.TAKEN)
    imported = EventRecord.objects.filter(
        conversation_id=conversation_id, payload__has_key=IMPORTED_ID
    ).order_by("-event_id")
    last = imported.values_list(f"payload__{IMPORTED_ID}", flat=True).first()
    return Known(
        standing=Standing.OWN,
        deleted=deleted_at is not None,
        last_imported=-1 if last is None else last,
    )


def conversation_import(
    *,
    owner: User,
    conversation_id: UUID,
    metadata: Metadata,
    log: StoredLog,
    secrets: Iterable[str],
) -> bool:
    """Store a conversation with its log; False where somebody else has just stored that id.

    Raises DamagedStoreError where a file has changed since it was checked; then nothing is stored.
    """
    new = _conversation(owner, conversation_id, metadata, log, maskable(secrets))
    try:
        with write_transaction():
            log_take_over(
                conversation=new, batches=log.batches(), closing=log.closing, secrets=secrets
            )
            # Nothing is wanted: it goes on when its user says so.
            lease_create(new.pk, wanted=False)
    except IntegrityError:
        if Conversation.objects.filter(pk=conversation_id).exists():
            return False
        raise
    return True


def _conversation(
    owner: User,
    conversation_id: UUID,
    metadata: Metadata,
    log: StoredLog,
    masked: tuple[str, ...],
) -> Conversation:
    cost, prompt_tokens, completion_tokens = log.usage or (
        metadata.usage.cost,
        metadata.usage.prompt_tokens,
        metadata.usage.completion_tokens,
    )
    created_at = metadata.created_at or log.first_time or metadata.last_updated_at
    created_at = created_at or timezone.now()
    new = Conversation(
        id=conversation_id,
        owner=owner,
        title=str(clean(metadata.title, masked))[:MAX_TEXT],
        # Whoever made it, no machine may overwrite what may have been given by hand.
        title_source=TitleSource.DEFAULT if metadata.title_is_default else TitleSource.USER,
        selected_repository=metadata.selected_repository,
        selected_branch=metadata.selected_branch,
        created_at=created_at,
        last_updated_at=metadata.last_updated_at or log.last_time or created_at,
        last_event_id=len(log.numbers) + len(log.closing) - 1,
        # Where an import adds a state, that one follows.
        agent_state=log.state or AgentState.STOPPED,
        accumulated_cost=cost or 0.0,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
    )
    if new.title == new.default_title:
        new.title = ""
    return new
