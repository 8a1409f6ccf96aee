"""Django's system checks of a deployment's settings: what can be read, and is wrong all the same.

What cannot be read at all is refused as the settings load (project/env.py): handrail.E001. Each id
stands in docs/operations.md with what to do.
"""

from __future__ import annotations

import base64
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004  # Django's name

from settings_app.mounts import mounts_read, network_type

#: The tag of all our checks.
HANDRAIL: Final = "handrail"
_SHORTEST_KEY, _FEWEST_CHARACTERS = 32, 8
_SHORTEST_TOKEN: Final = 16
_SHORTEST_LEASE: Final = 3.0
#: A network that leaves so few bits open is most of the internet.
_WIDEST: Final = {4: 8, 6: 16}
_PLACEHOLDERS: Final = ("django-insecure-", "changeme", "change-me", "change_me", "your-secret")
#: Where a container's runtime puts secrets, for the one user in there.
_MOUNTED_SECRETS: Final = (Path("/run/secrets"), Path("/var/run/secrets"))
_KEPT: Final = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS")


def register_all() -> None:
    """Make them known to Django."""
    for check in (_keys, _key_files, _places, _reach, _values):
        register(partial(_run, check), HANDRAIL)
    for check in (_several_hosts, _proxies):
        register(partial(_run, check), HANDRAIL, deploy=True)


def _run(check: Callable[[], Iterator[CheckMessage]], **_: Any) -> list[CheckMessage]:
    return list(check())


def _keys() -> Iterator[CheckMessage]:
    key = settings.SECRET_KEY
    is_placeholder = any(word in key.lower() for word in _PLACEHOLDERS)
    if len(key) < _SHORTEST_KEY or len(set(key)) < _FEWEST_CHARACTERS or is_placeholder:
        yield Error(
            "SECRET_KEY can be guessed: it is short, monotonous or a placeholder. Whoever knows it "
            "can log in as anybody.",
            hint="Leave it out, and one is made and kept in DATA_DIR; or `openssl rand -hex 32`.",
            id="handrail.E002",
        )
    for position, ring_key in enumerate(settings.FIELD_ENCRYPTION_KEYS, start=1):
        raw = base64.urlsafe_b64decode(ring_key)
        # Of 10^13 random keys hardly one can be printed.
        if len(set(raw)) < _FEWEST_CHARACTERS or (raw.isascii() and raw.decode().isprintable()):
            yield Error(
                f"FIELD_ENCRYPTION_KEYS: key {position} is not random, so stored secrets can be "
                "read by whoever guesses it.",
                hint="Put a key of Fernet.generate_key() in front of it, run `manage.py "
                "rotate_secrets`, then take it out.",
                id="handrail.E003",
            )


def _key_files() -> Iterator[CheckMessage]:
    for shown in settings.SETTINGS_SHOWN:
        file = Path(shown.file).expanduser()
        if shown.source != "file" or any(file.is_relative_to(p) for p in _MOUNTED_SECRETS):
            continue
        mode = stat.S_IMODE(file.stat().st_mode) if file.is_file() else 0
        if mode & 0o007:
            yield Warning(
                f"{shown.name}: {file} has mode {mode:o}, so others on this machine may read it.",
                hint=f"chmod 600 {file}",
                id="handrail.W002",
            )


def _places() -> Iterator[CheckMessage]:
    database = settings.DATABASES["default"]
    is_file = database["ENGINE"].endswith("sqlite3")
    yield from places_check(
        mounts_read(),
        data_dir=Path(settings.DATA_DIR),
        sqlite=Path(database["NAME"]) if is_file else None,
    )


def places_check(mounts: str, *, data_dir: Path, sqlite: Path | None) -> Iterator[CheckMessage]:
    """Judge where files lie, by the kernel's table of mounts; `sqlite` is None on PostgreSQL."""
    if sqlite is not None and (kind := network_type(sqlite, mounts)):
        yield Error(
            f"The SQLite database {sqlite} lies on a network file system ({kind}), where its locks "
            "don't hold: it would be damaged sooner or later.",
            hint="Put DATA_DIR on a disk of this machine, or set DATABASE_URL to a PostgreSQL.",
            id="handrail.E004",
        )
    if kind := network_type(data_dir, mounts):
        yield Warning(
            f"DATA_DIR={data_dir} lies on a network file system ({kind}): commands in sandboxes "
            "are slow there, and wait where it is away.",
            hint="Several hosts have to share it; one is better off with a disk of its own.",
            id="handrail.W003",
        )


def _reach() -> Iterator[CheckMessage]:
    if settings.AUTH_MODE != "accounts":
        return
    if "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS=*: any name may lead here, also one that another site's owner has "
            "pointed at this server.",
            hint="Name the hosts by which people and scrapers reach it: handrail.example.org.",
            id="handrail.E005",
        )
    for entry in settings.OUTBOUND_POLICY.allowed if settings.OUTBOUND_POLICY else ():
        network = entry.network
        if network is not None and network.prefixlen < _WIDEST[network.version]:
            yield Warning(
                f"LLM_BASE_URL_ALLOW={network} opens this server's own network to every user's "
                "base URL.",
                hint="Public addresses are open anyway. Name the inner hosts that serve models.",
                id="handrail.W005",
            )


def _values() -> Iterator[CheckMessage]:
    if settings.SANDBOX_NETWORK:
        yield Error(
            "SANDBOX_NETWORK is on, but sandboxes with a network are not available yet.",
            hint="Turn it off.",
            id="handrail.E006",
        )
    if settings.LEASE_SECONDS < _SHORTEST_LEASE:
        yield Warning(
            f"LEASE_SECONDS={settings.LEASE_SECONDS:g}: a pause that long, of the disk or the "
            "machine, takes a loop away from the process that runs it well.",
            hint=f"Take {_SHORTEST_LEASE:g} or more; 6 is the default.",
            id="handrail.W004",
        )
    if 0 < len(settings.METRICS_TOKEN) < _SHORTEST_TOKEN:
        yield Warning(
            f"METRICS_TOKEN has fewer than {_SHORTEST_TOKEN} characters: it can be guessed.",
            hint="`openssl rand -hex 32` makes one.",
            id="handrail.W006",
        )
    if settings.MAX_BUDGET_PER_TASK == 0:
        yield Warning(
            "MAX_BUDGET_PER_TASK=0: every loop is paused before its first step.",
            hint="Leave it out for no limit.",
            id="handrail.W007",
        )


def _several_hosts() -> Iterator[CheckMessage]:
    """Judge only where `--deploy` asks: one host with a PostgreSQL does well."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return
    for shown in settings.SETTINGS_SHOWN:
        if shown.name in _KEPT and Path(shown.file).parent == Path(settings.DATA_DIR):
            yield Warning(
                f"{shown.name} was made on this host and lies in {shown.file}: another host of the "
                "same database would make its own, and read nothing of what this one has written.",
                hint=f"With several hosts, give that file's content to each by {shown.name}_FILE.",
                id="handrail.W008",
            )


def _proxies() -> Iterator[CheckMessage]:
    """Judge only where `--deploy` asks: nobody here knows what stands in front."""
    if settings.AUTH_MODE == "accounts" and not settings.TRUSTED_PROXIES:
        yield Warning(
            "TRUSTED_PROXIES is empty: behind a proxy all clients have its address, so one who "
            "guesses a name's password locks that name's owner out too.",
            hint="Name the proxy that ends TLS, by its address as this server sees it.",
            id="handrail.W009",
        )
