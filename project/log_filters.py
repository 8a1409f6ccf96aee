"""Shortens what the server's library logs of its clients' faults. It knows no app."""

from __future__ import annotations

import logging


class ClientFaults(logging.Filter):
    """Takes the traceback off lines about what a client has sent: anybody could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line."""
        if record.getMessage().startswith("Invalid UTF-8 sequence received"):
            record.exc_info = record.exc_text = None
        return True
