"""What the API of settings answers, for its document. Shapes only: nothing is built of them."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from settings_app.serializers import PROVIDERS, SettingsInputSerializer


class StoredSerializer(serializers.Serializer[Any]):
    """The answer of a save."""

    message = serializers.CharField(help_text="Always `Settings stored`.")


class NoSettingsSerializer(serializers.Serializer[Any]):
    """The answer before the first save."""

    error = serializers.CharField(help_text="Always `Settings not found`.")


class GitUserSerializer(serializers.Serializer[Any]):
    """The user of this server: no provider is asked."""

    id = serializers.IntegerField(help_text="A number of this server's.")
    login = serializers.CharField(help_text="The name to log in with.")
    avatar_url = serializers.CharField(help_text="Always empty.")
    company = serializers.CharField(allow_null=True, help_text="Always null.")
    name = serializers.CharField(allow_null=True, help_text="Always null.")
    email = serializers.CharField(allow_null=True, help_text="The user's address, or null.")


class SettingsSerializer(SettingsInputSerializer):
    """A user's settings, without any secret."""

    llm_api_key_set = serializers.BooleanField(help_text="Whether a key is stored.")
    provider_tokens_set = serializers.DictField(
        child=serializers.BooleanField(help_text="Whether it is stored."),
        help_text=f"Which tokens are stored, of {' and '.join(PROVIDERS)}.",
    )
    secrets_store = serializers.DictField(help_text="Always without tokens.")
    sandbox_base_container_image = serializers.CharField(allow_null=True, help_text="Always null.")
    sandbox_runtime_container_image = serializers.CharField(
        allow_null=True, help_text="Always null."
    )
    #: Never answered.
    provider_tokens = None  # type: ignore[assignment]


NO_TOKEN: Final = OpenApiResponse(
    OpenApiTypes.STR, description="No provider token is stored (a text), or nobody is logged in."
)
LIST: Final = {
    200: serializers.ListSerializer(child=serializers.DictField(help_text="Nothing yet.")),
    401: NO_TOKEN,
}
USER: Final = {200: GitUserSerializer, 401: NO_TOKEN}
