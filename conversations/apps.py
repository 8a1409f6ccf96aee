"""The Django app of conversations."""

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    """Tables, services and commands of conversations."""

    name = "conversations"
    default_auto_field = "django.db.models.BigAutoField"
