"""That a turn has ended in an error, and when: the log itself is not ordered by time. No rules."""

from __future__ import annotations

from django.db import models

from conversations.models.conversation import Conversation


class TurnFailure(models.Model):
    """One end in the state `error` or `rate_limited`; it goes with its conversation."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE)
    failed_at = models.DateTimeField(db_index=True)
    #: `error` or `rate_limited`.
    state = models.CharField(max_length=32)
    #: The state event's own, cut.
    reason = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.state} in {self.conversation_id}: {self.reason}"
