"""Addresses of conversations, below /api/. No trailing slashes: the web client sends none."""

from django.urls import path

from conversations.api.views import ConversationListView, ConversationView, TrajectoryView

urlpatterns = [
    path("conversations", ConversationListView.as_view()),
    path("conversations/<str:conversation_id>", ConversationView.as_view()),
    path("conversations/<str:conversation_id>/trajectory", TrajectoryView.as_view()),
]
