"""What a user thinks of an agent's work: kept for whoever runs this server, sent nowhere."""

from __future__ import annotations

import uuid

from django.db import models

from conversations.models.conversation import Conversation


class Feedback(models.Model):
    """One answer to the web client's thumbs; it goes with its conversation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE)
    created_at = models.DateTimeField()
    #: The newest event when it was given: what is meant by it.
    last_event_id = models.BigIntegerField()
    #: `positive` or `negative`.
    polarity = models.CharField(max_length=8)
    #: `public` or `private`: whether its giver would share the conversation.
    permissions = models.CharField(max_length=7)
    email = models.CharField(max_length=254, blank=True)
    #: The form's version, as the client says.
    version = models.CharField(max_length=20, blank=True)

    class Meta:
        verbose_name_plural = "feedback"

    def __str__(self) -> str:
        return f"{self.polarity} on {self.conversation_id}"
