"""Every domain error of conversations. No HTTP: project/api_errors.py maps errors to answers."""


class HandrailError(Exception):
    """Base of all domain errors. Do not raise it directly; the docstring is the default message."""

    code = "handrail_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])


class ConversationGoneError(HandrailError):
    """The conversation was deleted, or never existed."""

    code = "conversation_gone"


class FencedError(HandrailError):
    """A newer loop has claimed this conversation: the older one may not write any more."""

    code = "fenced"


class LogMovedError(HandrailError):
    """Somebody else's event was stored since the log was read."""

    code = "log_moved"


class InvalidEventError(HandrailError):
    """An event has a shape that the codec does not know."""

    code = "invalid_event"


class InvalidTrajectoryError(HandrailError):
    """The text given as replay_json is not a trajectory."""

    code = "invalid_trajectory"


class InvalidInputError(HandrailError):
    """A user's action is not one that a conversation takes."""

    code = "invalid_input"


class IdempotencyKeyReusedError(HandrailError):
    """This Idempotency-Key was used for another request: take a new key for a new conversation."""

    code = "idempotency_key_reused"


class SettingsNotFoundError(HandrailError):
    """Settings not found"""  # noqa: D400  # the wire text of CONTRACT section 4

    code = "CONFIGURATION$SETTINGS_NOT_FOUND"


class LLMKeyMissingError(HandrailError):
    """Error authenticating with the LLM provider. Please check your API key"""  # noqa: D400  # wire text

    code = "STATUS$ERROR_LLM_AUTHENTICATION"


class FileUnreadableError(HandrailError):
    """A path of a workspace names nothing that can be read."""

    code = "file_unreadable"


class WorkspaceTooLargeError(HandrailError):
    """The workspace is too large for a zip: more than 100,000 files, or 4 GiB."""

    code = "workspace_too_large"


class DataDirError(HandrailError):
    """A file in DATA_DIR cannot be used."""

    code = "data_dir"


class DownloadsBusyError(HandrailError):
    """Too many downloads are under way. Try again in a few seconds."""

    code = "downloads_busy"


class RuntimeUnavailableError(HandrailError):
    """The sandbox cannot be started on this machine."""

    code = "runtime_unavailable"


class DamagedStoreError(HandrailError):
    """A file of a store that is to be taken over cannot be used."""

    code = "damaged_store"

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        #: The file's path in the store.
        self.where = where
        self.what = what
