"""`show_settings`: every setting with its source, and no secret."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from cryptography.fernet import Fernet

from project.env import Deployment
from project.settings_shown import MASK, setting_name
from tests.commands.operating import Done, call, start

SHOW = "show_settings"
KEY = Fernet.generate_key().decode()


def by_name(done: Done) -> dict[str, dict[str, object]]:
    assert done.code == 0, done.err
    return {item["name"]: item for item in done.json["items"]}


def test_bad_arguments_are_one_line() -> None:
    call(SHOW, "LLM_MODEL").refused("LLM_MODEL")


def test_every_setting_is_shown_the_same_each_time() -> None:
    shown = by_name(call(SHOW, "--json"))
    # That one follows from variables which are not ours.
    ours = {field.name for field in fields(Deployment)} - {"proxied"}
    assert set(shown) == {setting_name(name) for name in ours}
    assert by_name(call(SHOW, "--json")) == shown
    lines = call(SHOW).out.splitlines()
    assert len(lines) == len(shown) + 1
    assert any(line.split() == ["LEASE_SECONDS", "6.0", "(default)"] for line in lines)


def test_sources_are_named_and_secrets_masked(tmp_path: Path) -> None:
    file = tmp_path / "llm-key"
    file.write_text("sk-of-the-file-0123456789")
    given = {
        "FIELD_ENCRYPTION_KEYS": KEY,
        "LLM_API_KEY_FILE": str(file),
        "LLM_BASE_URL": "https://me:pw-0123456789@llm.example.org/v1?key=pw-0123456789",
        "DATABASE_URL": "postgresql://handrail:pw-0123456789@db.example.org:6432/handrail",
        "RETENTION_DAYS": "90",
        "LLM_BASE_URL_ALLOW": "10.0.0.0/8 gpu:8000 127.0.0.1:11434 [::1]:80 llm.lan",
    }
    done = start(tmp_path, SHOW, "--json", database={}, **given)
    people = start(tmp_path, SHOW, database={}, **given)
    for secret in (KEY, "sk-of-the-file", "pw-0123456789"):
        assert secret not in done.out + done.err + people.out + people.err
    shown = by_name(done)
    assert {name: (item["value"], item["source"]) for name, item in shown.items()}.items() >= {
        "FIELD_ENCRYPTION_KEYS": (MASK, "environment"),
        "SECRET_KEY": (MASK, "file"),
        "LLM_API_KEY": (MASK, "file"),
        "LLM_BASE_URL": (f"https://{MASK}@llm.example.org/v1?{MASK}", "environment"),
        "DATABASE_URL": (
            f"postgresql://handrail:{MASK}@db.example.org:6432/handrail",
            "environment",
        ),
        "RETENTION_DAYS": (90, "environment"),
        "LLM_BASE_URL_ALLOW": (
            "10.0.0.0/8, gpu:8000, 127.0.0.1:11434, [::1]:80, llm.lan",
            "environment",
        ),
        "LEASE_SECONDS": (6.0, "default"),
        "AUTH_MODE": ("local", "default"),
    }.items()
    assert shown["LLM_API_KEY"]["file"] == str(file)
    assert shown["SECRET_KEY"]["file"] == str(tmp_path / "secret_key")
