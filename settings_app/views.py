"""The REST edge of this room: parse, call one service, answer. No rules here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.response import Response
from rest_framework.views import APIView

from settings_app import services
from settings_app.answers import NoSettingsSerializer, SettingsSerializer, StoredSerializer
from settings_app.selectors import user_settings
from settings_app.serializers import SettingsInputSerializer, settings_body

if TYPE_CHECKING:
    from rest_framework.request import Request

    from settings_app.models import User

_STORED = {"message": "Settings stored"}


class SettingsView(APIView):
    """GET and POST /api/settings."""

    @extend_schema(responses={200: SettingsSerializer, 404: NoSettingsSerializer})
    def get(self, request: Request) -> Response:
        """Answer a user's settings; 404 tells the web client to ask for them."""
        row = user_settings(user_id=cast("User", request.user).pk)
        if row is None:
            return Response({"error": "Settings not found"}, status=404)
        return Response(settings_body(row=row))

    @extend_schema(request=SettingsInputSerializer, responses=StoredSerializer)
    def post(self, request: Request) -> Response:
        """Store the given fields."""
        if request.stream is None:
            # DRF reads no body as {}, and the answer "stored" would hide that nothing arrived.
            msg = "The body is empty: send a JSON object with the settings to store."
            raise ParseError(msg)
        serializer = SettingsInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.settings_store(
            user=cast("User", request.user),
            fields=cast("services.SettingsFields", serializer.validated_data),
        )
        return Response(_STORED)


class ResetSettingsView(APIView):
    """POST /api/reset-settings."""

    @extend_schema(request=None, responses=StoredSerializer)
    def post(self, request: Request) -> Response:
        """Put everything back to the defaults; a body is not read."""
        services.settings_reset(user=cast("User", request.user))
        return Response(_STORED)


class UnsetTokensView(APIView):
    """POST /api/unset-settings-tokens."""

    @extend_schema(request=None, responses=StoredSerializer)
    def post(self, request: Request) -> Response:
        """Forget the provider tokens; a body is not read."""
        services.provider_tokens_clear(user=cast("User", request.user))
        return Response(_STORED)
