"""The effective settings for people to look at: secrets masked, each with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from project.env import variable

if TYPE_CHECKING:
    from project.env import Deployment

MASK: Final = "**********"
_SECRETS: Final = frozenset({"SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "LLM_API_KEY", "METRICS_TOKEN"})
#: Settings that may be given as a file's name too.
_BY_FILE: Final = _SECRETS | {"DATABASE_URL"}
#: Fields that follow from variables which are not ours.
_FOLLOWS: Final = frozenset({"proxied"})
#: Made at the first start and kept in DATA_DIR, where nobody has given one.
_KEPT: Final = {"SECRET_KEY": "secret_key", "FIELD_ENCRYPTION_KEYS": "field_encryption_keys"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingShown:
    """One setting. `value` is what JSON and a terminal may show."""

    name: str
    value: str | int | float | bool | None
    #: `environment`, `file` or `default`.
    source: str
    #: The file, where it is one.
    file: str = ""


def setting_name(field: str) -> str:
    """Give the name of the variable that a field of Deployment is read from."""
    return "DATABASE_URL" if field == "database" else field.upper()


def settings_shown(deployment: Deployment) -> tuple[SettingShown, ...]:
    """Give every setting, in the order of Deployment."""
    return tuple(
        _shown(setting_name(field.name), getattr(deployment, field.name), deployment.data_dir)
        for field in fields(deployment)
        if field.name not in _FOLLOWS
    )


def _shown(name: str, value: Any, data_dir: Path) -> SettingShown:
    source, file = "default", ""
    if variable(name):
        source = "environment"
    elif name in _BY_FILE and variable(f"{name}_FILE"):
        source, file = "file", variable(f"{name}_FILE")
    elif name in _KEPT:
        source, file = "file", str(data_dir / _KEPT[name])
    return SettingShown(name=name, value=_plain(name, value), source=source, file=file)


def _plain(name: str, value: Any) -> str | int | float | bool | None:
    if name in _SECRETS:
        return MASK if value else ""
    if name == "DATABASE_URL":
        return _database(value)
    if name == "LLM_BASE_URL":
        return _without_password(value)
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    return str(value) if isinstance(value, Path) else value


def _database(database: dict[str, Any] | None) -> str | None:
    if database is None:
        return None
    if "sqlite" in database["ENGINE"]:
        return f"sqlite:///{database['NAME']}"
    user = database.get("USER") or ""
    account = user + (f":{MASK}" if database.get("PASSWORD") else "")
    port = f":{database['PORT']}" if database.get("PORT") else ""
    at = "@" if account else ""
    return f"postgresql://{account}{at}{database.get('HOST') or ''}{port}/{database['NAME']}"


def _without_password(url: str) -> str:
    """Mask what stands before an @: a key may be hidden there, and behind a question mark."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    account, at, place = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=f"{MASK if account else ''}{at}{place}")
    return shown._replace(query=MASK if shown.query else "").geturl()
