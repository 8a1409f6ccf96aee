"""Say at once, and in words, when this Python is too old or cannot make a virtual environment."""

import importlib.util
import sys

if sys.version_info < (3, 11):
    sys.exit(
        f"Handrail needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. "
        "Name another one: make PYTHON=python3.11 …"
    )
if importlib.util.find_spec("ensurepip") is None:
    sys.exit(
        f"{sys.executable} cannot make virtual environments: its ensurepip is missing. "
        "On Debian: apt-get install python3-venv"
    )
