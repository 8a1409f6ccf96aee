"""Bare DRF views: the product's queries by .values() and its fields, without the product around."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.urls import include, path
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.sizes import EVENTS_PAGE, PAGE
from conversations.api.pagination import page_id
from conversations.models import Conversation, EventRecord, TitleSource
from conversations.models.loop_lease import is_running

#: The only user of a benchmark's database.
OWNER = 1
_COLUMNS = ("id", "title", "selected_repository", "created_at", "last_updated_at")
_EVENT_COLUMNS = ("event_id", "timestamp", "source", "action", "observation", "cause", "payload")


def _item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "conversation_id": row["id"].hex,
        "title": row["title"] or f"Conversation {row['id'].hex[:5]}",
        "selected_repository": row["selected_repository"] or None,
        "created_at": row["created_at"].isoformat(),
        "last_updated_at": row["last_updated_at"].isoformat(),
        "status": "RUNNING" if row["running"] else "STOPPED",
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    payload = row["payload"]
    wire = {
        "id": row["event_id"],
        "timestamp": row["timestamp"].isoformat(),
        "source": row["source"],
        "message": payload.get("content", ""),
    }
    if row["cause"] is not None:
        wire["cause"] = row["cause"]
    kind = "action" if row["action"] else "observation"
    return {**wire, kind: row[kind], **payload}


class BareView(APIView):
    """Who asks, and whether he may, is not asked here."""

    authentication_classes = ()
    permission_classes = ()


class ListView(BareView):
    """A page of the list, one query."""

    def get(self, request: Request, database: str) -> Response:
        """Answer what the product answers."""
        youngest = timezone.now() - timedelta(seconds=settings.CONVERSATION_MAX_AGE_SECONDS)
        rows = Conversation.objects.using(database).filter(
            deleted_at__isnull=True, owner=OWNER, created_at__gt=youngest
        )
        if "id" in request.query_params:
            at = datetime.fromisoformat(request.query_params["at"])
            rows = rows.filter(created_at__lte=at).filter(
                Q(created_at__lt=at) | Q(id__lt=UUID(request.query_params["id"]))
            )
        values = rows.order_by("-created_at", "-id").annotate(running=is_running())
        found = list(values.values(*_COLUMNS, "running")[: PAGE + 1])
        last = found[PAGE - 1] if len(found) > PAGE else None
        return Response(
            {
                "results": [_item(row) for row in found[:PAGE]],
                "next_page_id": page_id((last["created_at"], last["id"])) if last else None,
            }
        )


class DetailView(BareView):
    """One conversation: read it, rename it."""

    def get(self, request: Request, conversation_id: str) -> Response:
        """Answer what the product answers, one query."""
        rows = Conversation.objects.filter(
            deleted_at__isnull=True, owner=OWNER, pk=UUID(conversation_id)
        )
        row = rows.annotate(running=is_running()).values(*_COLUMNS, "running").first()
        return Response(_item(row) if row else None)

    def patch(self, request: Request, conversation_id: str) -> Response:
        """Store the title: one read, one write."""
        rows = Conversation.objects.filter(deleted_at__isnull=True, pk=UUID(conversation_id))
        found = rows.filter(owner=OWNER).values().first()
        data: Any = request.data
        changed = {"title": data["title"], "title_source": TitleSource.USER}
        return Response(data=bool(found and rows.update(**changed)))


class EmptyView(BareView):
    """Nothing but DRF: what a create costs before it does anything."""

    def post(self, request: Request) -> Response:
        """Answer the fields of a create."""
        return Response({"status": "ok", "conversation_id": uuid.uuid4().hex})


def _event_rows(conversation_id: str, start_id: int, limit: int) -> list[dict[str, Any]]:
    rows = EventRecord.objects.filter(
        conversation_id=UUID(conversation_id), event_id__gte=start_id
    ).order_by("event_id")
    return list(rows.values(*_EVENT_COLUMNS)[:limit])


class TrajectoryView(BareView):
    """A whole log, in the product's chunks."""

    def get(self, request: Request, conversation_id: str) -> Response:
        """Answer the product's fields."""
        Conversation.objects.filter(pk=UUID(conversation_id)).values().first()
        events: list[dict[str, Any]] = []
        while rows := _event_rows(conversation_id, len(events), EVENTS_PAGE):
            events += [_event(row) for row in rows]
        return Response({"trajectory": events})


class EventsView(BareView):
    """A page of a log."""

    def get(self, request: Request, conversation_id: str) -> Response:
        """Answer the product's fields."""
        Conversation.objects.filter(pk=UUID(conversation_id)).values().first()
        start_id = int(request.query_params["start_id"])
        rows = _event_rows(conversation_id, start_id, EVENTS_PAGE + 1)
        more = len(rows) > EVENTS_PAGE
        return Response(
            {
                "events": [_event(row) for row in rows[:EVENTS_PAGE]],
                "has_more": more,
                "next_id": rows[EVENTS_PAGE]["event_id"] if more else None,
            }
        )


urlpatterns = [
    path("bare/<str:database>/list", ListView.as_view()),
    path("bare/detail/<str:conversation_id>", DetailView.as_view()),
    path("bare/create", EmptyView.as_view()),
    path("bare/trajectory/<str:conversation_id>", TrajectoryView.as_view()),
    path("bare/events/<str:conversation_id>", EventsView.as_view()),
    path("", include("project.urls")),
]
