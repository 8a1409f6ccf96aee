"""Which version of Handrail this is. It knows no app."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def version() -> str:
    """Give the version of the checkout that this is, else of the installed package."""
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "handrail":
            return str(project["version"])
    return metadata.version("handrail")
