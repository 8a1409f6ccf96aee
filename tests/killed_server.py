"""`manage.py` that kills itself with -9 at one step of the work on one conversation.

A step is a statement or a program that names the conversation. Which one, a file in DATA_DIR says:
the conversation's id and the step's number, from 1. While there is no such file, nothing happens.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management import execute_from_command_line
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from project.env import settings_module_default, variable

#: The file that says where to die.
ORDER = "kill-at"


class Killer:
    """Counts the steps of the work on a conversation, and ends the process before one of them."""

    def __init__(self, order: Path) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._steps = 0

    def step(self, named: object) -> None:
        """Count, where `named` holds the conversation's id."""
        if not self._order.exists():
            return
        conversation_id, number = self._order.read_text().split()
        if conversation_id not in repr(named).replace("-", ""):
            return
        with self._lock:
            self._steps += 1
            if self._steps == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

    def statement(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,  # Django's
        context: dict[str, Any],
    ) -> Any:
        """See every statement before the database does."""
        self.step(params)
        return execute(sql, params, many, context)

    def connected(self, *, connection: BaseDatabaseWrapper, **_: Any) -> None:
        """Look at a new connection."""
        if self.statement not in connection.execute_wrappers:
            connection.execute_wrappers.append(self.statement)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """See every program before it starts."""
        if event == "subprocess.Popen":
            self.step(arguments)


def main() -> None:
    """Run a command of manage.py, watched."""
    settings_module_default("project.settings")
    killer = Killer(Path(variable("DATA_DIR")) / ORDER)
    connection_created.connect(killer.connected)
    sys.addaudithook(killer.audit)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
