"""The command line of a deployment. No logic here: the commands live in their rooms."""

import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from project.env import settings_module_default

if __name__ == "__main__":
    settings_module_default("project.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # It says which setting, which value and what to do: a traceback would hide that.
        sys.exit(f"Handrail is not configured right: {error}")
