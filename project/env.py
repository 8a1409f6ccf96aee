"""The one reader of the environment: every setting, parsed and checked. It knows no app."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from outbound.policy import Allowed, allowed_parse
from project.database import database_parse
from project.kept_secrets import secret_keep
from project.proxies import Network, network_parse
from project.secret_values import bearer_token_check, key_ring_parse, secret_read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Parsed = TypeVar("_Parsed")
_CODE: Final = Path(__file__).resolve().parent.parent
#: Where relative paths begin: the checkout, or, installed, the folder that it is started in.
BASE_DIR: Final = _CODE if (_CODE / "manage.py").is_file() else Path.cwd()
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]", ".localhost")
DEFAULT_LLM_MODEL: Final = "anthropic/claude-3-5-sonnet-20241022"
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_MOST_DAYS: Final = 36_500
#: Downloads and titles may take twelve of them.
_FEWEST_THREADS: Final = 16
_MOST_THREADS: Final = 256
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_RATE: Final = re.compile(r"[1-9]\d{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)")
#: What HTTP clients read for themselves.
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

_source: dict[str, Mapping[str, str]] = {"values": os.environ}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What the environment says. Times are seconds; names are those of the variables."""

    data_dir: Path
    secret_key: str = field(repr=False)
    field_encryption_keys: tuple[str, ...] = field(repr=False)
    #: None means SQLite in data_dir.
    database: dict[str, Any] | None = field(repr=False)
    database_connect_timeout: int
    database_network_timeout: int
    database_statement_timeout: float
    database_lock_timeout: float
    database_idle_timeout: float
    web_threads: int
    auth_mode: str
    allowed_hosts: tuple[str, ...]
    #: Whose X-Forwarded-For and X-Forwarded-Proto count.
    trusted_proxies: tuple[Network, ...]
    conversation_max_age_seconds: int
    #: None means that nothing is purged.
    retention_days: int | None
    max_concurrent_conversations: int
    executor: str
    runtime: str
    sandbox_timeout: float
    sandbox_close_delay: float
    sandbox_network: bool
    lease_seconds: float
    worker_grace_seconds: float
    max_iterations: int
    #: None means no limit.
    max_turn_seconds: int | None
    max_budget_per_task: float | None
    llm_model: str
    llm_api_key: str = field(repr=False)
    llm_base_url: str
    #: Where users' own base URLs may lead besides public addresses.
    llm_base_url_allow: tuple[Allowed, ...]
    #: Whether requests go out through a proxy.
    proxied: bool
    #: None means no limit.
    request_throttle: str | None
    web_client_dir: Path | None
    log_format: str
    #: What a scraper of /metrics has to know; "" for no metrics.
    metrics_token: str = field(repr=False)


def environment_replace(values: Mapping[str, str]) -> Mapping[str, str]:
    """Read these values from now on, not the process's environment; gives what was read before.

    For test settings, which must not depend on the machine that they run on.
    """
    before, _source["values"] = _source["values"], values
    return before


def variable(name: str) -> str:
    """Give one variable as it stands, "" when absent."""
    return _source["values"].get(name, "").strip()


def settings_module_default(name: str) -> None:
    """Name the settings module for Django, where the environment has named none."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", name)


def deployment_read() -> Deployment:
    """Read and check everything; makes DATA_DIR and the keys in it when absent.

    Raises ImproperlyConfigured, which names the variable and its value (never that of a secret).
    """
    data_dir = (BASE_DIR / (variable("DATA_DIR") or "var")).expanduser().resolve()
    if data_dir.is_relative_to("/usr"):
        msg = f"DATA_DIR={data_dir} lies below /usr, which every sandbox can read. Choose another."
        raise ImproperlyConfigured(msg)
    auth_mode = _choice("AUTH_MODE", ("local", "accounts"))
    database = _database()
    executor = _choice("EXECUTOR", ("in_process", "procrastinate"))
    if executor == "procrastinate" and (database is None or "postgresql" not in database["ENGINE"]):
        _refuse(
            "EXECUTOR", executor, "it needs PostgreSQL: set DATABASE_URL too, or take in_process"
        )
    return Deployment(
        data_dir=data_dir,
        secret_key=_secret("SECRET_KEY")
        or secret_keep(data_dir / "secret_key", make=get_random_secret_key),
        field_encryption_keys=_field_encryption_keys(data_dir),
        database=database,
        database_connect_timeout=_integer("DATABASE_CONNECT_TIMEOUT", 5),
        database_network_timeout=_integer("DATABASE_NETWORK_TIMEOUT", 10),
        database_statement_timeout=_number("DATABASE_STATEMENT_TIMEOUT", 60.0, minimum=0.1),
        database_lock_timeout=_number("DATABASE_LOCK_TIMEOUT", 3.0, minimum=0.1),
        database_idle_timeout=_number("DATABASE_IDLE_TIMEOUT", 10.0, minimum=0.1),
        web_threads=_web_threads(),
        auth_mode=auth_mode,
        allowed_hosts=_allowed_hosts(auth_mode),
        trusted_proxies=_entries("TRUSTED_PROXIES", network_parse),
        conversation_max_age_seconds=_integer("CONVERSATION_MAX_AGE_SECONDS", 864_000),
        retention_days=_retention_days(),
        max_concurrent_conversations=_integer("MAX_CONCURRENT_CONVERSATIONS", 3),
        executor=executor,
        runtime=_choice("RUNTIME", ("local",)),
        sandbox_timeout=_number("SANDBOX_TIMEOUT", 120.0, minimum=1.0),
        sandbox_close_delay=_number("SANDBOX_CLOSE_DELAY", 900.0, minimum=0.0),
        sandbox_network=_flag("SANDBOX_NETWORK"),
        lease_seconds=_number("LEASE_SECONDS", 6.0, minimum=0.5, maximum=60.0),
        worker_grace_seconds=_number("WORKER_GRACE_SECONDS", 30.0, minimum=0.0),
        max_iterations=_integer("MAX_ITERATIONS", 500),
        max_turn_seconds=(
            None
            if variable("MAX_TURN_SECONDS").lower() == "off"
            else _integer("MAX_TURN_SECONDS", 14_400, also="off, or ")
        ),
        max_budget_per_task=(
            _number("MAX_BUDGET_PER_TASK", 0.0, minimum=0.0)
            if variable("MAX_BUDGET_PER_TASK")
            else None
        ),
        llm_model=variable("LLM_MODEL") or DEFAULT_LLM_MODEL,
        llm_api_key=_secret("LLM_API_KEY"),
        llm_base_url=variable("LLM_BASE_URL"),
        llm_base_url_allow=_entries("LLM_BASE_URL_ALLOW", allowed_parse),
        proxied=any(variable(name) or variable(name.lower()) for name in _PROXIES),
        request_throttle=_throttle(auth_mode),
        web_client_dir=_web_client_dir(),
        log_format=_choice("LOG_FORMAT", ("console", "json")),
        metrics_token=bearer_token_check("METRICS_TOKEN", _secret("METRICS_TOKEN")),
    )


def _refuse(name: str, value: str, what: str) -> None:
    msg = f"{name}={value!r}: {what}."
    raise ImproperlyConfigured(msg)


def _choice(name: str, allowed: Sequence[str]) -> str:
    value = variable(name) or allowed[0]
    if value not in allowed:
        _refuse(name, value, f"it must be one of {', '.join(allowed)}")
    return value


def _flag(name: str) -> bool:
    # Not django-environ's: there every word that it does not know means false.
    value = variable(name).lower() or "off"
    if value not in _TRUE | _FALSE:
        _refuse(name, value, "it must be on or off")
    return value in _TRUE


def _integer(name: str, default: int, *, also: str = "") -> int:
    value = variable(name)
    if value and not re.fullmatch(r"0*[1-9]\d{0,8}", value, flags=re.ASCII):
        _refuse(name, value, f"it must be {also}a whole number from 1 to 999999999")
    return int(value) if value else default


def _retention_days() -> int | None:
    if variable("RETENTION_DAYS").lower() in ("", "off"):
        return None
    days = _integer("RETENTION_DAYS", 1)
    if days > _MOST_DAYS:
        _refuse("RETENTION_DAYS", str(days), f"it must be off, or from 1 to {_MOST_DAYS}")
    return days


def _number(name: str, default: float, *, minimum: float, maximum: float = float("inf")) -> float:
    value = variable(name)
    if value and not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, flags=re.ASCII):
        _refuse(name, value, "it must be a plain number such as 2 or 0.5")
    number = float(value) if value else default
    if number < minimum:
        _refuse(name, value, f"it must be {minimum:g} or more")
    if number > maximum:
        _refuse(name, value, f"it must be {maximum:g} or less")
    return number


def _secret(name: str) -> str:
    value, file = variable(name), variable(f"{name}_FILE")
    if value and file:
        msg = f"{name} and {name}_FILE={file!r} are both set: keep one of them."
        raise ImproperlyConfigured(msg)
    return secret_read(name, file) if file else value


def _field_encryption_keys(data_dir: Path) -> tuple[str, ...]:
    return key_ring_parse(
        _secret("FIELD_ENCRYPTION_KEYS")
        or secret_keep(
            data_dir / "field_encryption_keys", make=lambda: Fernet.generate_key().decode()
        )
    )


def _database() -> dict[str, Any] | None:
    url = _secret("DATABASE_URL")
    return database_parse("DATABASE_URL", url) if url else None


def _allowed_hosts(auth_mode: str) -> tuple[str, ...]:
    hosts = tuple(host for host in re.split(r"[,\s]+", variable("ALLOWED_HOSTS").lower()) if host)
    if auth_mode == "accounts":
        if not hosts:
            _refuse(
                "ALLOWED_HOSTS", "", "AUTH_MODE=accounts needs the names under which it is reached"
            )
        return hosts
    for host in hosts:
        if host not in LOOPBACK_HOSTS and not host.endswith(".localhost"):
            _refuse(
                "ALLOWED_HOSTS",
                host,
                "AUTH_MODE=local has no login and answers to loopback names only; "
                "leave it out, or set AUTH_MODE=accounts",
            )
    return LOOPBACK_HOSTS


def _entries(name: str, parse: Callable[[str], _Parsed]) -> tuple[_Parsed, ...]:
    parsed = []
    for entry in filter(None, re.split(r"[,\s]+", variable(name))):
        try:
            parsed.append(parse(entry))
        except ValueError as error:
            _refuse(name, entry, str(error))
    return tuple(parsed)


def _throttle(auth_mode: str) -> str | None:
    value = variable("REQUEST_THROTTLE").lower() or ("off" if auth_mode == "local" else "50/s")
    if value == "off":
        return None
    if not _RATE.fullmatch(value):
        _refuse(
            "REQUEST_THROTTLE", value, "it must be off, or a rate such as 10/second or 600/minute"
        )
    return value


def _web_threads() -> int:
    threads = _integer("WEB_THREADS", 16)
    if not _FEWEST_THREADS <= threads <= _MOST_THREADS:
        what = f"it must be from {_FEWEST_THREADS} to {_MOST_THREADS}"
        _refuse("WEB_THREADS", str(threads), what)
    return threads


def _web_client_dir() -> Path | None:
    value = variable("WEB_CLIENT_DIR")
    if not value:
        return None
    folder = (BASE_DIR / value).expanduser().resolve()
    if not (folder / "index.html").is_file():
        _refuse("WEB_CLIENT_DIR", value, f"there is no index.html in {folder}")
    return folder
