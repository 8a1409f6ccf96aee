"""Errors of the settings room. No HTTP here: project/api_errors.py maps errors to answers."""


class SettingsAppError(Exception):
    """Base of this room's errors. Do not raise it directly; the docstring is the message."""

    code = "settings_app_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])


class SecretUnreadableError(SettingsAppError):
    """A stored secret cannot be read with any of the keys in FIELD_ENCRYPTION_KEYS."""

    code = "secret_unreadable"
