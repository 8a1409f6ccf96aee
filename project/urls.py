"""Where the rooms' addresses hang. No views here."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from project.documentation import SchemaView, docs
from project.health import health, ready
from project.metrics import metrics
from project.web_client import web_client
from settings_app.login import login, logout

urlpatterns = [
    path("login", login),
    path("logout", logout),
    path("health", health),
    path("alive", health),
    path("ready", ready),
    path("metrics", metrics),
    *(path(f"api/schema{end}", SchemaView.as_view()) for end in ("", "/")),
    *(path(f"api/docs{end}", docs) for end in ("", "/")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("api/", include("settings_app.urls")),
    path("api/", include("conversations.api.urls")),
    re_path(
        r"^(?!(?:api|admin|static|socket\.io)(?:/|\Z))(?P<path>[\s\S]*)\Z",
        web_client,
        name="web_client",
    ),
]

handler400 = "project.api_errors.bad_request"
handler403 = "project.api_errors.forbidden"
handler404 = "project.api_errors.not_found"
handler500 = "project.api_errors.server_error"
