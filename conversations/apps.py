"""The Django app of conversations."""

from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    """Tables, services and commands of conversations."""

    name = "conversations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the check known."""
        # Apps are loaded by now and not before: an import at the top would come too early.
        from conversations.checks import register_all

        register_all()
