"""How long a server or a worker waits in PostgreSQL. Commands have no limit: they may take long."""

from __future__ import annotations

from typing import Final

from django.db import connections

#: Seconds. Our locks are held for milliseconds: a longer wait means that their holder is frozen,
#: and who waits holds up the thread that all streams of the process share.
LOCK_SECONDS: Final = 3.0
#: A frozen process, or one behind a broken network, loses its transaction and with it its locks.
IDLE_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 60.0


def database_limits_set(
    *,
    lock: float = LOCK_SECONDS,
    idle: float = IDLE_SECONDS,
    statement: float = STATEMENT_SECONDS,
) -> None:
    """Limit what this process connects from now on; what DATABASE_URL says counts more."""
    for database in connections.settings.values():
        if "postgresql" in database["ENGINE"]:
            limits = {
                "lock_timeout": lock,
                "idle_in_transaction_session_timeout": idle,
                "statement_timeout": statement,
            }
            ours = " ".join(f"-c {name}={seconds * 1000:.0f}" for name, seconds in limits.items())
            options = database.setdefault("OPTIONS", {})
            # The last one counts.
            options["options"] = f"{ours} {options.get('options', '')}".strip()
