"""The command line of a deployment: `handrail`, or `manage.py` in a checkout. No commands."""

from __future__ import annotations

import gc
import sys
from typing import Final

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db.utils import OperationalError

from project.env import settings_module_default

#: Options of Django's that say where the settings are: it reads them later.
_ELSEWHERE: Final = ("--settings", "--pythonpath")


def main() -> None:
    """Run the command that the arguments name."""
    settings_module_default("project.settings")
    try:
        if not any(argument.startswith(_ELSEWHERE) for argument in sys.argv[2:]):
            _load()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # It says which setting, which value and what to do: a traceback would hide that.
        sys.exit(f"Handrail is not configured right (handrail.E001): {error}")
    except OperationalError as error:
        why = " ".join(str(error).split())
        sys.exit(
            f"The database does not answer, or is in use; run the command again. It says: {why}"
        )


def _load() -> None:
    """Load the apps; to walk what is made meanwhile, and kept, would take a seventh of that."""
    gc.disable()
    django.setup()
    gc.freeze()
    gc.enable()
