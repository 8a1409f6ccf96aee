"""Where the rooms' addresses hang. No views here."""

from django.urls import include, path

from project.health import health

urlpatterns = [
    path("health", health),
    path("api/", include("settings_app.urls")),
    path("api/", include("conversations.api.urls")),
]

handler400 = "project.api_errors.bad_request"
handler403 = "project.api_errors.forbidden"
handler404 = "project.api_errors.not_found"
handler500 = "project.api_errors.server_error"
