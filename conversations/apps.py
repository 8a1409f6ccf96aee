"""The Django app of conversations."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate


class ConversationsConfig(AppConfig):
    """Tables, services and commands of conversations."""

    name = "conversations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make the check known; put wanted turns on the queue where workers run them."""
        # Apps are loaded by now and not before: an import at the top would come too early.
        from conversations.checks import register_all

        register_all()
        if settings.EXECUTOR == "procrastinate":
            # Procrastinate's tables need not be there otherwise.
            from conversations import dispatch
            from conversations.executors.turn_queue import TurnQueue

            dispatch.install(TurnQueue())
            post_migrate.connect(_index, sender=self, dispatch_uid="conversations.queue")


def _index(*, using: str, plan: Any = (), **_: Any) -> None:
    """Add to the queue's tables, which are not ours, what they lack."""
    from conversations.executors.turn_queue import queue_index

    if plan:
        queue_index(using)
