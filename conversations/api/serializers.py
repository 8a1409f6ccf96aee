"""What requests may look like (CONTRACT section 4). Shapes only; services decide."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from conversations.agent.replay import recording_from_json
from conversations.api.fields import DigitsField, LimitField, RepositoryField, TextField
from conversations.api.pagination import PageIdField
from conversations.events.actions import ACTIONS
from conversations.events.base import EventSource
from conversations.events.observations import OBSERVATIONS
from conversations.exceptions import InvalidTrajectoryError
from conversations.models import Conversation, EventRecord, Feedback
from conversations.models.loop_lease import Status
from conversations.services.messages import MAX_IMAGES, MAX_TEXT

MAX_TITLE = 255
#: The largest number that an event's column holds.
_LARGEST_ID = 2**63 - 1


class ConversationCreateSerializer(serializers.Serializer[Conversation]):
    """POST /api/conversations. Every field may be absent or null; unknown ones are ignored."""

    initial_user_msg = TextField(
        required=False,
        allow_null=True,
        max_length=MAX_TEXT,
        help_text="The first message. Without it, and without images, one is waited for.",
    )
    image_urls = serializers.ListField(
        child=TextField(help_text="A data URL."),
        required=False,
        allow_null=True,
        max_length=MAX_IMAGES,
        help_text="Images of the first message.",
    )
    selected_repository = RepositoryField(
        required=False,
        allow_null=True,
        help_text="An object with full_name, or the name, owner/name.",
    )
    selected_branch = TextField(
        required=False, allow_null=True, max_length=255, help_text="The repository's branch."
    )
    replay_json = TextField(
        required=False,
        allow_null=True,
        help_text="A recorded trajectory as JSON text; its actions are carried out.",
    )

    def validate_replay_json(self, value: str | None) -> Any:
        """Read the recording, so that a broken one is refused before anything is stored."""
        if not value:
            return None
        try:
            return recording_from_json(value)
        except InvalidTrajectoryError as error:
            raise serializers.ValidationError(str(error), code=error.code) from error


class ConversationPatchSerializer(serializers.Serializer[Conversation]):
    """PATCH /api/conversations/<id>: a title of one line, or blanks only for "make one"."""

    title = TextField(
        max_length=MAX_TITLE,
        trim_whitespace=True,
        help_text="One line. A blank one asks for a made title.",
    )

    def validate_title(self, value: str) -> str:
        """Refuse several lines."""
        if len(value.splitlines()) > 1:
            msg = "must be one line"
            raise serializers.ValidationError(msg, code="several_lines")
        return value


class ConversationFilterSerializer(serializers.Serializer[Conversation]):
    """GET /api/conversations/count: which conversations. An empty filter is none."""

    selected_repository = TextField(
        default="", max_length=255, help_text="The whole name of a repository."
    )
    status = serializers.ChoiceField(
        choices=["", *Status], default="", help_text="What it is now; empty for both."
    )
    query = TextField(
        default="", max_length=MAX_TITLE, help_text="Part of the title, in either case."
    )


class ListQuerySerializer(ConversationFilterSerializer):
    """GET /api/conversations: which ones, and which page of them."""

    limit = LimitField()
    page_id = PageIdField(
        default=None, help_text="`next_page_id` of the page before; empty for the first one."
    )


class EventsQuerySerializer(serializers.Serializer[EventRecord]):
    """GET /api/conversations/<id>/events: ids are inclusive; `type` is a word of the wire."""

    start_id = DigitsField(default=0, max_value=_LARGEST_ID, help_text="The first id, inclusive.")
    end_id = DigitsField(
        default=_LARGEST_ID, max_value=_LARGEST_ID, help_text="The last id, inclusive."
    )
    reverse = serializers.BooleanField(default=False, help_text="The newest first.")
    limit = LimitField()
    type = serializers.ChoiceField(
        choices=["", *sorted({*ACTIONS, *OBSERVATIONS})],
        default="",
        help_text="A word of the wire, for actions and observations alike.",
    )
    # The metaclass takes the field off the class: it hides nothing of the base.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=["", *EventSource], default="", help_text="Who made it."
    )
    query = TextField(
        default="", max_length=1000, help_text="Text that the event shows, in either case."
    )


class FolderQuerySerializer(serializers.Serializer[None]):
    """GET …/list-files: the workspace's top, or a folder below it."""

    path = TextField(
        default="", max_length=4096, help_text="A folder of the workspace; empty for its top."
    )


class FileQuerySerializer(serializers.Serializer[None]):
    """GET …/select-file."""

    file = TextField(max_length=4096, help_text="A file of the workspace.")


class FeedbackSerializer(serializers.Serializer[Feedback]):
    """POST …/submit-feedback. The events it may bring are ours: they are not stored again."""

    version = TextField(default="", max_length=20, help_text="The form's version.")
    email = TextField(default="", max_length=254, help_text="Whom to answer.")
    polarity = serializers.ChoiceField(
        choices=["positive", "negative"], help_text="What the user thinks."
    )
    permissions = serializers.ChoiceField(
        choices=["public", "private"],
        default="private",
        help_text="Whether he would share the conversation.",
    )
