"""What requests may look like (CONTRACT section 4). Shapes only; services decide."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from conversations.agent.replay import recording_from_json
from conversations.api.fields import RepositoryField, TextField
from conversations.exceptions import InvalidTrajectoryError
from conversations.models import Conversation
from conversations.services.messages import MAX_IMAGES, MAX_TEXT

MAX_TITLE = 255
DEFAULT_LIMIT = 20
MAX_LIMIT = 100


class ConversationCreateSerializer(serializers.Serializer[Conversation]):
    """POST /api/conversations. Every field may be absent or null; unknown ones are ignored."""

    initial_user_msg = TextField(required=False, allow_null=True, max_length=MAX_TEXT)
    image_urls = serializers.ListField(
        child=TextField(), required=False, allow_null=True, max_length=MAX_IMAGES
    )
    selected_repository = RepositoryField(required=False, allow_null=True)
    selected_branch = TextField(required=False, allow_null=True, max_length=255)
    replay_json = TextField(required=False, allow_null=True)

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

    title = TextField(max_length=MAX_TITLE, trim_whitespace=True)

    def validate_title(self, value: str) -> str:
        """Refuse several lines."""
        if len(value.splitlines()) > 1:
            msg = "must be one line"
            raise serializers.ValidationError(msg, code="several_lines")
        return value


class ListQuerySerializer(serializers.Serializer[Conversation]):
    """GET /api/conversations: a larger limit than 100 is taken as 100."""

    limit = serializers.IntegerField(default=DEFAULT_LIMIT, min_value=1)

    def validate_limit(self, value: int) -> int:
        """Clamp."""
        return min(value, MAX_LIMIT)
