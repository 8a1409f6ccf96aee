"""Addresses of conversations, below /api/. No trailing slashes: the web client sends none."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from conversations.api.files import FilesViewSet
from conversations.api.options import AgentsView, ConfigView, ModelsView, SecurityAnalyzersView
from conversations.api.views import ConversationViewSet, LoopViewSet

_METHODS = ("get", "head", "options", "post", "put", "patch", "delete")

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("conversations", ConversationViewSet, basename="conversation")
router.register("conversations", LoopViewSet, basename="loop")
router.register("conversations", FilesViewSet, basename="files")

urlpatterns = [
    *router.urls,
    # A path converter would leave out an empty rest, and one with a line's end in it.
    re_path(
        r"^conversations/(?P<conversation_id>[^/]+)/(?P<rest>[\s\S]*)\Z",
        LoopViewSet.as_view(dict.fromkeys(_METHODS, "nothing")),
    ),
    path("options/config", ConfigView.as_view()),
    path("options/models", ModelsView.as_view()),
    path("options/agents", AgentsView.as_view()),
    path("options/security-analyzers", SecurityAnalyzersView.as_view()),
]
