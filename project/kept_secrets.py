"""Secrets that are made once and kept in a file. It knows no setting and no environment."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def secret_keep(path: Path, *, make: Callable[[], str]) -> str:
    """Give the secret kept at `path`; when there is none, make it (file mode 600, new folder 700).

    Processes that start at the same moment get the same secret. An existing file is never
    replaced. Raises ImproperlyConfigured when it is empty, unreadable or cannot be made.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(path, make())
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        msg = (
            f"The secret in {path} can be neither read nor made ({error}). Give this process a "
            f"DATA_DIR that it may write to, or set {path.name.upper()}."
        )
        raise ImproperlyConfigured(msg) from error
    if not secret:
        msg = (
            f"{path} is empty. Put the secret back; delete the file only if nothing depends on it."
        )
        raise ImproperlyConfigured(msg)
    return secret


def _write_once(path: Path, secret: str) -> None:
    """Write the file aside, then link it into place: its name shows up once, with all of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{secret}\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link does not replace: the process that came first has won.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # Else a power cut may take the name away, and with it all that was encrypted meanwhile.
        os.fsync(folder)
    finally:
        os.close(folder)
