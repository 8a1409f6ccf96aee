"""One task given to the agent, with the columns that lists and details need. No loop here."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from conversations.events.states import AgentState

if TYPE_CHECKING:
    from settings_app.models import User


class TitleSource(models.TextChoices):
    """Where a title comes from: what a user gave is never overwritten by a machine."""

    DEFAULT = "default"
    GENERATED = "generated"
    USER = "user"


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Reads as English; every query of a user's door starts at `visible_to`."""

    def alive(self) -> ConversationQuerySet:
        """Leave out what is deleted."""
        return self.filter(deleted_at__isnull=True)

    def lock(self, conversation_id: uuid.UUID) -> None:
        """Take the row's lock for the rest of this transaction: later writers of the log wait."""
        row = self.filter(pk=conversation_id).select_for_update(no_key=True)
        list(row.values_list("pk"))

    def visible_to(self, user: User) -> ConversationQuerySet:
        """Keep what this user may know of: his own, not deleted."""
        return self.alive().filter(owner=user)


class Conversation(models.Model):
    """A conversation. A write updates its own columns only, never the whole row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    title = models.CharField(max_length=255, blank=True)
    title_source = models.CharField(
        max_length=9, choices=TitleSource.choices, default=TitleSource.DEFAULT
    )
    selected_repository = models.CharField(max_length=255, blank=True)
    selected_branch = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    last_updated_at = models.DateTimeField()
    #: The id of the newest event; -1 before the first one.
    last_event_id = models.BigIntegerField(default=-1)
    #: The fencing token: a claim raises it, a loop's append names it.
    epoch = models.BigIntegerField(default=0)
    #: The word of the last state event, written by the transaction that stored it.
    agent_state = models.CharField(
        max_length=32,
        choices=[(state.value, state.value) for state in AgentState],
        default=AgentState.LOADING,
    )
    #: The recorded trajectory to replay; may be large, so hot reads leave it out.
    replay: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    accumulated_cost = models.FloatField(default=0.0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    total_tokens = models.BigIntegerField(default=0)
    #: The tombstone: set by delete; the rows go later.
    deleted_at = models.DateTimeField(null=True, blank=True)
    # Known to the database too: processes of the version before go on while it is migrated.
    #: The Idempotency-Key of the request that created it, free again when it is deleted.
    idempotency_key = models.CharField(max_length=255, blank=True, default="", db_default="")
    #: SHA-256 of that request's body, in hex.
    idempotency_digest = models.CharField(max_length=64, blank=True, default="", db_default="")

    objects = ConversationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                "owner",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="conversation_newest_first",
                condition=models.Q(deleted_at__isnull=True),
            ),
            # The operators' lists. None of `last_updated_at`: it changes with every append, and on
            # PostgreSQL an indexed column that changes makes the append rewrite every index.
            models.Index(
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="conversation_all",
                condition=models.Q(deleted_at__isnull=True),
            ),
            models.Index(
                "agent_state",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="conversation_by_state",
                condition=models.Q(deleted_at__isnull=True),
            ),
            models.Index(
                "selected_repository",
                models.F("created_at").desc(),
                models.F("id").desc(),
                name="conversation_by_repository",
                condition=models.Q(deleted_at__isnull=True),
            ),
            models.Index(
                "deleted_at",
                name="conversation_tombstones",
                condition=models.Q(deleted_at__isnull=False),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                name="idempotency_key_once",
                condition=models.Q(idempotency_key__gt=""),
            ),
        ]
        permissions = [
            ("operate_conversation", "Can stop, resume, retitle, export and delete conversations"),
        ]

    def __str__(self) -> str:
        return self.title or self.default_title

    @property
    def default_title(self) -> str:
        """What an untitled conversation is called (the web client knows the form)."""
        return f"Conversation {self.id.hex[:5]}"
