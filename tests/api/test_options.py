"""/api/options/…: what the web client asks before it shows anything."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.databases import ROOT
from tests.serving import Server

_NO_IMPORT = """
import sys, django
from project.env import settings_module_default
settings_module_default("tests.settings")
django.setup()
assert "psycopg" not in sys.modules, "PostgreSQL's driver was imported for SQLite"
from conversations.api.options import model_names
assert len(model_names()) > 2000
assert "litellm" not in sys.modules, "the library was imported"
"""


def test_config_is_what_the_client_needs(server: Server) -> None:
    assert server.ok("GET", "/api/options/config") == {
        "APP_MODE": "oss",
        "GITHUB_CLIENT_ID": "",
        "POSTHOG_CLIENT_KEY": "",
        "FEATURE_FLAGS": {"ENABLE_BILLING": False, "HIDE_LLM_SETTINGS": False},
    }


def test_models_are_sorted_names_without_doubles(server: Server) -> None:
    names = server.ok("GET", "/api/options/models")
    assert len(names) > 2000
    assert names == sorted(set(names))
    assert all(isinstance(name, str) and name for name in names)
    for known in ("gpt-4o", "claude-sonnet-4-5", "anthropic/claude-3-5-sonnet-20241022"):
        assert known in names
    for useless in ("sample_spec", "text-embedding-3-small", "dall-e-3", "whisper-1"):
        assert useless not in names


def test_nothing_large_is_imported_before_it_is_used() -> None:
    subprocess.run(  # noqa: S603  # our own
        [sys.executable, "-c", _NO_IMPORT],
        cwd=ROOT,
        env={"PATH": os.defpath},
        check=True,
        timeout=60,
    )


def test_agents_and_analyzers_are_those_that_there_are(server: Server) -> None:
    assert server.ok("GET", "/api/options/agents") == ["CodeActAgent"]
    assert server.ok("GET", "/api/options/security-analyzers") == []


def test_options_are_only_read(server: Server) -> None:
    for name in ("config", "models", "agents", "security-analyzers"):
        assert server.call("POST", f"/api/options/{name}", {})[0] == 405
    assert server.call("GET", "/api/options/nothing")[0] == 404
