"""Django's system check of the sandbox. The checks of settings are in settings_app/checks.py."""

from __future__ import annotations

from typing import Any, Final

from django.core.checks import CheckMessage, Warning, register  # noqa: A004  # Django's name

from conversations.exceptions import RuntimeUnavailableError
from conversations.runtime.local import LocalRuntimeProvider
from settings_app.checks import HANDRAIL

#: A warning for most commands, which need no sandbox; what runs turns does not start with it.
SANDBOX: Final = "handrail.W001"


def register_all() -> None:
    """Make it known to Django."""
    register(_sandbox, HANDRAIL)


def _sandbox(**_: Any) -> list[CheckMessage]:
    try:
        LocalRuntimeProvider().check()
    except RuntimeUnavailableError as error:
        hint = "Until then agents run nothing here, and what runs them does not start."
        return [Warning(str(error), hint=hint, id=SANDBOX)]
    return []
