"""Where logins are kept: Django's sessions in the database. It knows no request."""

from __future__ import annotations

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's, that asks the database for no key which cannot be one of ours.

    A cookie may name anything, and PostgreSQL refuses to look for some of it (NUL).
    """

    def __init__(self, session_key: str | None = None) -> None:
        is_ours = session_key is not None and session_key.isascii() and session_key.isalnum()
        super().__init__(session_key if is_ours else None)
