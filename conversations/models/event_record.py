"""The row of an event. Rows only ever come; services/event_log.py is the one door in."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from conversations.events.codec import EventRow
from conversations.models.conversation import Conversation

_ADVICE = "Stored events never change: append a new one with services.event_log.event_append()."


class LogIsAppendOnlyError(TypeError):
    """Somebody tried to change a stored event."""


class EventRecordQuerySet(models.QuerySet["EventRecord"]):
    """Reads of the log; changes are refused with advice."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refuse."""
        raise LogIsAppendOnlyError(_ADVICE)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        raise LogIsAppendOnlyError(_ADVICE)


class EventRecord(models.Model):
    """One event of one conversation, numbered from 0 without a hole."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, db_index=False)
    event_id = models.BigIntegerField()
    timestamp = models.DateTimeField()
    source = models.CharField(max_length=16)
    #: Exactly one of action and observation names the kind; the other is empty.
    action = models.CharField(max_length=32, blank=True)
    observation = models.CharField(max_length=32, blank=True)
    cause = models.BigIntegerField(null=True, blank=True)
    payload: models.JSONField[Any, Any] = models.JSONField()

    objects = EventRecordQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "event_id"], name="event_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} {self.action or self.observation}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert; refuse to change."""
        if not self._state.adding:
            raise LogIsAppendOnlyError(_ADVICE)
        super().save(*args, **kwargs)

    def to_row(self) -> EventRow:
        """Give the columns as the codec takes them."""
        return EventRow(
            event_id=self.event_id,
            timestamp=self.timestamp,
            source=self.source,
            action=self.action,
            observation=self.observation,
            cause=self.cause,
            payload=self.payload,
        )
