"""What the web client asks about git (CONTRACT section 4, Git). It asks no provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from settings_app.answers import LIST, USER
from settings_app.selectors import user_settings

if TYPE_CHECKING:
    from rest_framework.request import Request

    from settings_app.models import User

#: As in the original, a bare text; the client does not show it.
_NO_TOKEN = "Git provider token required: save one in the settings."  # noqa: S105  # a sentence


def _has_token(request: Request) -> bool:
    row = user_settings(user_id=cast("User", request.user).pk)
    return row is not None and bool(row.provider_tokens)


class GitUserView(APIView):
    """GET /api/user/info."""

    @extend_schema(responses=USER)
    def get(self, request: Request) -> Response:
        """Give the user of this server; 401 without a token, as the client expects.

        With one an error would make the client delete the token, which a conversation may need.
        """
        if not _has_token(request):
            return Response(_NO_TOKEN, status=401)
        user = cast("User", request.user)
        facts = {"id": user.pk, "login": user.username, "avatar_url": ""}
        return Response({**facts, "company": None, "name": None, "email": user.email or None})


class GitListView(APIView):
    """GET /api/user/repositories and the other lists."""

    @extend_schema(responses=LIST)
    def get(self, request: Request) -> Response:
        """Give none; 401 without a token."""
        return Response([]) if _has_token(request) else Response(_NO_TOKEN, status=401)
