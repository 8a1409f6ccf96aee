"""What a user says to a conversation: stored, and a turn asked for, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from conversations.dispatch import request_turn
from conversations.events.actions import RunAction
from conversations.events.base import EventSource, NewEvent
from conversations.events.codec import user_message
from conversations.exceptions import InvalidInputError
from conversations.models import Control, Conversation, LoopLease
from conversations.services.event_log import event_append
from conversations.services.transactions import write_transaction

#: Characters of a message or a command; a longer one is refused, never cut.
MAX_TEXT = 1_000_000
MAX_IMAGES = 20


def message_send(
    *,
    conversation: Conversation,
    content: str,
    image_urls: Sequence[str] = (),
    secrets: Sequence[str] = (),
) -> None:
    """Store a user's message and ask for a turn, whatever state the conversation is in.

    Raises InvalidInputError for a text or images beyond the limits, ConversationGoneError.
    """
    if len(content) > MAX_TEXT or len(image_urls) > MAX_IMAGES:
        message = f"a message takes up to {MAX_TEXT:,} characters and {MAX_IMAGES} images"
        raise InvalidInputError(message)
    _store_and_request(conversation, user_message(content, tuple(image_urls)), secrets)


def command_send(*, conversation: Conversation, command: str, secrets: Sequence[str] = ()) -> None:
    """Store a command that the user typed; a turn runs it without an LLM call.

    Raises InvalidInputError for an empty or a too long command, ConversationGoneError.
    """
    if not command.strip() or len(command) > MAX_TEXT:
        message = f"a command takes 1 to {MAX_TEXT:,} characters"
        raise InvalidInputError(message)
    event = NewEvent(source=EventSource.USER, body=RunAction(command=command))
    _store_and_request(conversation, event, secrets)


def _store_and_request(conversation: Conversation, event: NewEvent, secrets: Sequence[str]) -> None:
    with write_transaction():
        event_append(conversation_id=conversation.pk, events=[event], secrets=secrets)
        # What comes after a stop that is still on its way is not stopped by it.
        LoopLease.objects.filter(
            conversation_id=conversation.pk, control__in=[Control.STOP, Control.PAUSE]
        ).update(control=Control.RESTART)
        request_turn(conversation.pk)
