"""Addresses of conversations, below /api/. No trailing slashes: the web client sends none."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from conversations.api.options import AgentsView, ConfigView, ModelsView, SecurityAnalyzersView
from conversations.api.views import ConversationViewSet, InsideConversationViewSet

_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("conversations", ConversationViewSet, basename="conversation")
router.register("conversations", InsideConversationViewSet, basename="inside-conversation")

urlpatterns = [
    *router.urls,
    path(
        "conversations/<str:conversation_id>/<path:rest>",
        InsideConversationViewSet.as_view(dict.fromkeys(_METHODS, "nothing")),
    ),
    path("options/config", ConfigView.as_view()),
    path("options/models", ModelsView.as_view()),
    path("options/agents", AgentsView.as_view()),
    path("options/security-analyzers", SecurityAnalyzersView.as_view()),
]
