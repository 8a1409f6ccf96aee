"""Keep what users think of the work."""

from __future__ import annotations

from django.utils import timezone

from conversations.exceptions import ConversationGoneError
from conversations.models import Conversation, Feedback
from conversations.services.transactions import write_transaction


def feedback_keep(
    *, conversation: Conversation, polarity: str, permissions: str, email: str, version: str
) -> Feedback:
    """Store one answer. Raises ConversationGoneError."""
    with write_transaction():
        # Under the row's lock: a delete comes before it, or takes it along.
        row = Conversation.objects.alive().select_for_update(no_key=True).filter(pk=conversation.pk)
        last_event_id = row.values_list("last_event_id", flat=True).first()
        if last_event_id is None:
            raise ConversationGoneError
        return Feedback.objects.create(
            conversation_id=conversation.pk,
            created_at=timezone.now(),
            last_event_id=last_event_id,
            polarity=polarity,
            permissions=permissions,
            email=email,
            version=version,
        )
