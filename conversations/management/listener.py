"""A listening socket that commands take before anything runs. What listens is the caller's."""

from __future__ import annotations

import socket

from django.core.management.base import CommandError

#: Seconds that the kernel keeps a connection whose other side takes nothing of what is sent: longer
#: than project/guard.py and stream/server.py wait.
STALLED_SECONDS = 120.0
#: Connections that may wait to be accepted.
BACKLOG = 2048


def listener_open(
    host: str, port: int, *, option: str = "--port", stalled_seconds: float = STALLED_SECONDS
) -> socket.socket:
    """Take the address before anything runs. Raises CommandError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, not left to the default: asyncio sends small answers at once (TCP_NODELAY) only
    # where it sees this. Without it each request on a kept connection takes 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections have it from the listener. Who is closed while he reads nothing would else stay
    # open, with all that waits for him, for as long as he likes.
    milliseconds = int(stalled_seconds * 1000)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        message = f"Cannot listen on {host}:{port}: {error}. Choose another {option}."
        raise CommandError(message) from error
    return listener
