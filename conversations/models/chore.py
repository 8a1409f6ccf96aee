"""Work that one process does for all, once in a while. The row says who, and when it was done."""

from __future__ import annotations

from django.db import models


class Chore(models.Model):
    """One kind of work. Held while `lease_expires_at` is to come, by the database's clock."""

    name = models.CharField(max_length=32, primary_key=True)
    #: The process that does it; empty when nobody does.
    holder = models.CharField(max_length=128, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: When it was last done to its end.
    done_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} {self.holder}"
