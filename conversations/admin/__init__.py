"""The operators' console: pages over rows, and actions by the services. Nothing is edited here."""

from conversations.admin import conversations, loops, overview, users

__all__ = ["conversations", "loops", "overview", "users"]
