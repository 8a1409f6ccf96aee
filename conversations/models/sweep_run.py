"""When each server process has last swept: how operators see that one has died, or hangs."""

from __future__ import annotations

from django.db import models


class SweepRun(models.Model):
    """One row a process; written every few seconds at the most."""

    #: Host and process id, as the holder of a lease begins.
    process = models.CharField(max_length=100, primary_key=True)
    started_at = models.DateTimeField()
    last_run_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.process}: {self.last_run_at:%Y-%m-%d %H:%M:%S}"
