"""The views of conversations: three hops from URL to SQL."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, cast
from uuid import UUID

from django.http import JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from conversations.api.answers import (
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_FORM,
    IS_DONE,
    ITEM_OR_NULL,
    ConversationIdSerializer,
    ConversationPageSerializer,
    EventPageSerializer,
    LoopSerializer,
)
from conversations.api.fields import HeaderError
from conversations.api.pagination import page_id
from conversations.api.serializers import (
    ConversationCreateSerializer,
    ConversationFilterSerializer,
    ConversationPatchSerializer,
    EventsQuerySerializer,
    ListQuerySerializer,
)
from conversations.events.codec import event_to_wire
from conversations.exceptions import ConversationGoneError
from conversations.models import Conversation
from conversations.selectors import (
    ConversationFilter,
    EventFilter,
    conversation_count,
    conversation_get,
    conversation_item,
    conversation_page,
    event_page,
)
from conversations.services.agent_loops import loop_start, loop_stop_if_any
from conversations.services.conversations import (
    RequestKey,
    conversation_create,
    conversation_delete,
    conversation_rename,
)
from conversations.services.titles import title_generate
from settings_app.models import User

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
#: Without commas: of a header that is sent twice, servers make one with a comma.
_REQUEST_KEY = re.compile(IDEMPOTENCY_KEY_FORM, re.ASCII)


def _user(request: Request) -> User:
    return cast("User", request.user)


def _id(text: str) -> UUID | None:
    """Read an id; anything but 32 lower hex digits names no conversation."""
    return UUID(hex=text) if _ID.fullmatch(text) else None


def _find(request: Request, text: str) -> Conversation | None:
    return conversation_get(user=_user(request), conversation_id=_id(text))


def checked(serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
    """Give what a serializer has read. Raises ValidationError, which is a 422."""
    serializer.is_valid(raise_exception=True)
    return cast("dict[str, Any]", serializer.validated_data)


def body_of(request: Request) -> Any:
    """Give the JSON of a request's body. Raises ParseError where there is none."""
    if request.stream is None:
        # DRF reads no body as {}: the answer "ok" would hide that nothing arrived.
        msg = "The body is empty: send a JSON object."
        raise ParseError(msg)
    return request.data


def _request_key(request: Request) -> RequestKey | None:
    """Read the header Idempotency-Key. Bodies are the same where they are the same JSON."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _REQUEST_KEY.fullmatch(key):
        raise HeaderError(
            {"Idempotency-Key": "must be 1 to 255 visible ASCII characters, no comma"}
        )
    body = json.dumps(request.data, sort_keys=True).encode()
    return RequestKey(key=key, digest=hashlib.sha256(body).hexdigest())


class ConversationViewSet(ViewSet):
    """/api/conversations and /api/conversations/<id>."""

    lookup_url_kwarg = "conversation_id"
    lookup_value_converter = "str"

    @extend_schema(
        request=ConversationCreateSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ConversationIdSerializer},
    )
    def create(self, request: Request) -> Response:
        """Create a conversation; the answer leaves when everything is stored."""
        fields = checked(ConversationCreateSerializer(data=body_of(request)))
        given = {name: value for name, value in fields.items() if value}
        given["recording"] = given.pop("replay_json", None)
        conversation = conversation_create(
            owner=_user(request), request_key=_request_key(request), **given
        )
        return Response({"status": "ok", "conversation_id": conversation.pk.hex})

    @extend_schema(parameters=[ListQuerySerializer], responses=ConversationPageSerializer)
    def list(self, request: Request) -> Response:
        """List a page of conversations, the newest first."""
        query = checked(ListQuerySerializer(data=request.query_params.dict()))
        items, next_key = conversation_page(
            user=_user(request),
            limit=query.pop("limit"),
            after=query.pop("page_id"),
            wanted=ConversationFilter(**query),
        )
        return Response({"results": items, "next_page_id": page_id(next_key) if next_key else None})

    @extend_schema(parameters=[ConversationFilterSerializer], responses=OpenApiTypes.INT)
    @action(detail=False)
    def count(self, request: Request) -> Response:
        """Give the number of conversations that the list holds."""
        query = checked(ConversationFilterSerializer(data=request.query_params.dict()))
        wanted = ConversationFilter(**query)
        return Response(conversation_count(user=_user(request), wanted=wanted))

    @extend_schema(responses=ITEM_OR_NULL)
    def retrieve(self, request: Request, conversation_id: str) -> JsonResponse:
        """Give one item, or null."""
        found = _id(conversation_id)
        item = found and conversation_item(user=_user(request), conversation_id=found)
        # DRF would answer None with an empty body; the web client wants the word.
        return JsonResponse(item or None, safe=False)

    @extend_schema(request=ConversationPatchSerializer, responses=IS_DONE)
    def partial_update(self, request: Request, conversation_id: str) -> Response:
        """Rename; a blank title asks for a made one. False where there is no such conversation."""
        title = checked(ConversationPatchSerializer(data=body_of(request)))["title"]
        conversation = _find(request, conversation_id)
        if conversation is None:
            return Response(data=False)
        if title:
            return Response(conversation_rename(conversation=conversation, title=title))
        return Response(title_generate(conversation=conversation))

    @extend_schema(responses={200: IS_DONE})
    def destroy(self, request: Request, conversation_id: str) -> Response:
        """Delete at once; what is left to clear away is cleared away later."""
        conversation = _find(request, conversation_id)
        deleted = conversation is not None and conversation_delete(conversation=conversation)
        return Response(data=deleted)


class InsideViewSet(ViewSet):
    """Whatever is below /api/conversations/<id>/: for an unknown id it is 404."""

    lookup_url_kwarg = "conversation_id"
    lookup_value_converter = "str"
    conversation: Conversation

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find the conversation before anything else; raises ConversationGoneError."""
        super().initial(request, *args, **kwargs)
        conversation = _find(request, kwargs["conversation_id"])
        if conversation is None:
            raise ConversationGoneError
        self.conversation = conversation


class LoopViewSet(InsideViewSet):
    """A conversation's events, and the start and stop of its loop."""

    @extend_schema(parameters=[EventsQuerySerializer], responses=EventPageSerializer)
    @action(detail=True)
    def events(self, request: Request, conversation_id: str) -> Response:
        """Give a page of events; `next_id` is the start_id (reverse: end_id) of the next one."""
        query = checked(EventsQuerySerializer(data=request.query_params.dict()))
        rows, next_id = event_page(
            conversation_id=self.conversation.pk,
            limit=query["limit"],
            wanted=EventFilter(
                start_id=query["start_id"],
                end_id=query["end_id"],
                reverse=query["reverse"],
                kind=query["type"],
                source=query["source"],
                text=query["query"],
            ),
        )
        return Response(
            {
                "events": [event_to_wire(row) for row in rows],
                "has_more": next_id is not None,
                "next_id": next_id,
            }
        )

    @extend_schema(request=None, responses=LoopSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, conversation_id: str) -> Response:
        """Resume a loop that was stopped or paused, or ended in an error."""
        before = self._status()
        loop_start(conversation=self.conversation)
        after = self._status()
        if before == after:
            return self._loop_answer(after, "There was nothing to start")
        return self._loop_answer(after, "Conversation started")

    @extend_schema(request=None, responses=LoopSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, conversation_id: str) -> Response:
        """Stop the loop; a running command is interrupted within a second."""
        stopped = loop_stop_if_any(conversation=self.conversation)
        message = "Conversation stopped" if stopped else "Conversation was not running"
        return self._loop_answer(self._status(), message)

    @extend_schema(exclude=True)
    def nothing(self, request: Request, conversation_id: str, rest: str) -> Response:
        """Answer for an address that nothing stands at."""
        msg = f"There is nothing at {request.path[:200]}."
        raise NotFound(msg)

    def _status(self) -> str:
        item = conversation_item(user=_user(self.request), conversation_id=self.conversation.pk)
        if item is None:
            raise ConversationGoneError
        return str(item["status"])

    def _loop_answer(self, status: str, message: str) -> Response:
        return Response(
            {
                "status": "ok",
                "conversation_id": self.conversation.pk.hex,
                "conversation_status": status,
                "message": message,
            }
        )
