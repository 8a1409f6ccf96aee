"""Addresses of the settings, below /api/. No trailing slashes: the web client sends none."""

from django.urls import path

from settings_app.git import GitListView, GitUserView
from settings_app.views import ResetSettingsView, SettingsView, UnsetTokensView

urlpatterns = [
    path("settings", SettingsView.as_view()),
    path("reset-settings", ResetSettingsView.as_view()),
    path("unset-settings-tokens", UnsetTokensView.as_view()),
    path("user/info", GitUserView.as_view()),
    path("user/repositories", GitListView.as_view()),
    path("user/search/repositories", GitListView.as_view()),
    path("user/installations", GitListView.as_view()),
    path("user/suggested-tasks", GitListView.as_view()),
]
