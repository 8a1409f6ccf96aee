"""What the API of conversations answers, for its document. Shapes only: nothing is built here."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from conversations.events.base import EventSource
from conversations.models.loop_lease import Status

_ID_HELP: Final = "32 lower-case hex digits."


class ConversationIdSerializer(serializers.Serializer[Any]):
    """The answer of a create."""

    status = serializers.ChoiceField(choices=["ok"], help_text="Always `ok`.")
    conversation_id = serializers.CharField(help_text=_ID_HELP)


class ConversationItemSerializer(serializers.Serializer[Any]):
    """A conversation as lists show it."""

    conversation_id = serializers.CharField(help_text=_ID_HELP)
    title = serializers.CharField(help_text="Its title; `Conversation <5 digits>` without one.")
    selected_repository = serializers.CharField(
        allow_null=True, help_text="The repository's name, owner/name, or null."
    )
    created_at = serializers.DateTimeField(help_text="When it was created, UTC.")
    last_updated_at = serializers.DateTimeField(
        help_text="When its newest event was stored, or its title given, UTC."
    )
    status = serializers.ChoiceField(
        choices=[*Status], help_text="RUNNING while a turn is wanted or under way."
    )


@extend_schema_serializer(many=False)
class ConversationPageSerializer(serializers.Serializer[Any]):
    """A page of the list."""

    results = ConversationItemSerializer(many=True, help_text="The newest first.")
    next_page_id = serializers.CharField(
        allow_null=True, help_text="`page_id` of the next page; null on the last one."
    )


class EventSerializer(serializers.Serializer[Any]):
    """An event of the log: an action, or the observation that came of one."""

    id = serializers.IntegerField(help_text="Its number in the log, from 0 without a hole.")
    timestamp = serializers.CharField(help_text="When it was stored, UTC, ISO 8601.")
    # The metaclass takes the field off the class: it hides nothing of the base.
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=[*EventSource], help_text="Who made it: user, agent or environment."
    )
    message = serializers.CharField(help_text="A line for people; may be empty.")
    action = serializers.CharField(required=False, help_text="What is done, such as `run`.")
    args = serializers.DictField(required=False, help_text="The action's arguments.")
    observation = serializers.CharField(required=False, help_text="What was seen, such as `run`.")
    content = serializers.CharField(required=False, help_text="The observation's text.")
    extras = serializers.DictField(required=False, help_text="The observation's other facts.")
    cause = serializers.IntegerField(required=False, help_text="The id of the action it is of.")
    llm_metrics = serializers.DictField(required=False, help_text="Cost and tokens so far.")
    tool_call_metadata = serializers.DictField(
        required=False, help_text="The model's answer that asked for it; in the trajectory only."
    )


class EventPageSerializer(serializers.Serializer[Any]):
    """A page of a log."""

    events = EventSerializer(many=True, help_text="In the order that was asked for.")
    has_more = serializers.BooleanField(help_text="Whether there is a next page.")
    next_id = serializers.IntegerField(
        allow_null=True, help_text="`start_id` of the next page, in reverse its `end_id`."
    )


class TrajectorySerializer(serializers.Serializer[Any]):
    """A whole log."""

    trajectory = EventSerializer(many=True, help_text="Every event, in order.")


class LoopSerializer(serializers.Serializer[Any]):
    """What a start or a stop has come to."""

    status = serializers.ChoiceField(choices=["ok"], help_text="Always `ok`.")
    conversation_id = serializers.CharField(help_text=_ID_HELP)
    conversation_status = serializers.ChoiceField(choices=[*Status], help_text="What it is now.")
    message = serializers.CharField(help_text="What was done, for people.")


class FileTextSerializer(serializers.Serializer[Any]):
    """A file of a workspace."""

    code = serializers.CharField(help_text="Its text.")


class VSCodeSerializer(serializers.Serializer[Any]):
    """There is no editor in the sandbox."""

    vscode_url = serializers.CharField(allow_null=True, help_text="Always null.")


class HostsSerializer(serializers.Serializer[Any]):
    """A sandbox has no network that a browser could reach."""

    hosts = serializers.DictField(help_text="Always empty.")


class RuntimeSerializer(serializers.Serializer[Any]):
    """The ids by which the original's clients know a runtime."""

    runtime_id = serializers.CharField(help_text=_ID_HELP)
    session_id = serializers.CharField(help_text=_ID_HELP)


class KeptFeedbackSerializer(serializers.Serializer[Any]):
    """Where feedback is kept."""

    message = serializers.CharField(help_text="For people.")
    feedback_id = serializers.CharField(help_text=_ID_HELP)
    password = serializers.CharField(help_text="Always empty: it is kept here only.")


class FeedbackAnswerSerializer(serializers.Serializer[Any]):
    """The answer to feedback, in the form of the original."""

    statusCode = serializers.IntegerField(help_text="Always 200.")  # noqa: N815  # the wire's
    body = KeptFeedbackSerializer(help_text="What was kept.")


class FeatureFlagsSerializer(serializers.Serializer[Any]):
    """What the web client shows or hides."""

    ENABLE_BILLING = serializers.BooleanField(help_text="Always false.")
    HIDE_LLM_SETTINGS = serializers.BooleanField(help_text="Always false.")


class ConfigSerializer(serializers.Serializer[Any]):
    """What the web client asks before it shows anything."""

    APP_MODE = serializers.CharField(help_text="Always `oss`.")
    GITHUB_CLIENT_ID = serializers.CharField(help_text="Always empty.")
    POSTHOG_CLIENT_KEY = serializers.CharField(help_text="Always empty: nobody is watched.")
    FEATURE_FLAGS = FeatureFlagsSerializer(help_text="Which parts there are.")


NAMES: Final[serializers.BaseSerializer[Any]] = serializers.ListSerializer(
    child=serializers.CharField(help_text="A name.")
)
IS_DONE: Final = OpenApiResponse(
    OpenApiTypes.BOOL, description="Whether there was such a conversation."
)
ITEM_OR_NULL: Final = OpenApiResponse(
    {"anyOf": [{"$ref": "#/components/schemas/ConversationItem"}, {"type": "null"}]},
    description="The conversation, or null where there is none.",
)
#: One to 255 visible ASCII characters, no comma.
IDEMPOTENCY_KEY_FORM: Final = r"[\x21-\x2b\x2d-\x7e]{1,255}"
IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    pattern=f"^{IDEMPOTENCY_KEY_FORM}$",
    description="The same key with the same body gives the same conversation.",
)
ZIP: Final = {
    (200, "application/zip"): OpenApiResponse(OpenApiTypes.BINARY, description="The workspace.")
}
