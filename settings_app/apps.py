"""How Django knows this room: the user and what the user has set. It may not know conversations."""

from django.apps import AppConfig


class SettingsAppConfig(AppConfig):
    """Users and their settings."""

    name = "settings_app"
    label = "settings_app"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what must hear of changed users; make the checks known."""
        # Models are loaded by now and not before: an import at the top would come too early.
        from settings_app.authentication import forget_local_user_on_change
        from settings_app.checks import register_all

        forget_local_user_on_change()
        register_all()
