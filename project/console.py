"""Hangs the operators' console into Django: its site, its pages, its two groups. No views here."""

from __future__ import annotations

from importlib import import_module

from django.contrib.admin.apps import SimpleAdminConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(SimpleAdminConfig):
    """Django's admin with our site, and with none of the pages that other apps bring."""

    default_site = "settings_app.console.ConsoleSite"
    # By its name Django would take the pages of every app: groups that can be changed, tokens.
    default = False

    def ready(self) -> None:
        """Register the pages; make the groups once all permissions are there (this app is last)."""
        super().ready()
        # Models are loaded by now and not before: an import at the top would come too early.
        import_module("settings_app.admin")
        import_module("conversations.admin")
        from settings_app.roles import roles_ensure

        post_migrate.connect(roles_ensure, sender=self, dispatch_uid="console.roles")
