"""The views of conversations: three hops from URL to SQL."""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import UUID

from django.http import JsonResponse
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.api.serializers import (
    ConversationCreateSerializer,
    ConversationPatchSerializer,
    ListQuerySerializer,
)
from conversations.events.codec import event_to_wire
from conversations.exceptions import ConversationGoneError
from conversations.models import Conversation
from conversations.selectors import (
    all_event_rows,
    conversation_get,
    conversation_item,
    conversation_items,
)
from conversations.services.conversations import (
    conversation_create,
    conversation_delete,
    conversation_rename,
    conversation_title_derive,
)
from settings_app.models import User

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def _user(request: Request) -> User:
    return cast("User", request.user)


def _id(text: str) -> UUID | None:
    """Read an id; anything but 32 lower hex digits names no conversation."""
    return UUID(hex=text) if _ID.fullmatch(text) else None


def _find(request: Request, text: str) -> Conversation | None:
    return conversation_get(user=_user(request), conversation_id=_id(text))


def _body(request: Request) -> Any:
    if request.stream is None:
        # DRF reads no body as {}: the answer "ok" would hide that nothing arrived.
        msg = "The body is empty: send a JSON object."
        raise ParseError(msg)
    return request.data


class ConversationListView(APIView):
    """POST and GET /api/conversations."""

    def post(self, request: Request) -> Response:
        """Create a conversation; the answer leaves when everything is stored."""
        serializer = ConversationCreateSerializer(data=_body(request))
        serializer.is_valid(raise_exception=True)
        given = {name: value for name, value in serializer.validated_data.items() if value}
        given["recording"] = given.pop("replay_json", None)
        conversation = conversation_create(owner=_user(request), **given)
        return Response({"status": "ok", "conversation_id": conversation.pk.hex})

    def get(self, request: Request) -> Response:
        """List the newest conversations."""
        query = ListQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        items = conversation_items(user=_user(request), limit=query.validated_data["limit"])
        return Response({"results": items, "next_page_id": None})


class ConversationView(APIView):
    """GET, PATCH and DELETE /api/conversations/<id>."""

    def get(self, request: Request, conversation_id: str) -> JsonResponse:
        """Give one item, or null."""
        found = _id(conversation_id)
        item = found and conversation_item(user=_user(request), conversation_id=found)
        # DRF would answer None with an empty body; the web client wants the word.
        return JsonResponse(item or None, safe=False)

    def patch(self, request: Request, conversation_id: str) -> Response:
        """Rename; a blank title asks for a made one."""
        serializer = ConversationPatchSerializer(data=_body(request))
        serializer.is_valid(raise_exception=True)
        conversation = _find(request, conversation_id)
        if conversation is None:
            return Response(data=False)
        title = serializer.validated_data["title"]
        if title:
            conversation_rename(conversation=conversation, title=title)
        else:
            conversation_title_derive(conversation=conversation)
        return Response(data=True)

    def delete(self, request: Request, conversation_id: str) -> Response:
        """Delete at once; what is left to clear away is cleared away later."""
        conversation = _find(request, conversation_id)
        deleted = conversation is not None and conversation_delete(conversation=conversation)
        return Response(data=deleted)


class TrajectoryView(APIView):
    """GET /api/conversations/<id>/trajectory."""

    def get(self, request: Request, conversation_id: str) -> Response:
        """Give every event with its metadata, in order."""
        conversation = _find(request, conversation_id)
        if conversation is None:
            raise ConversationGoneError
        rows = all_event_rows(conversation_id=conversation.pk)
        return Response({"trajectory": [event_to_wire(row, with_metadata=True) for row in rows]})
