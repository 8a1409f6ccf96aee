"""What each user's day has cost: a small table beside the log, for whoever pays. No rules here."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class DailyUsage(models.Model):
    """Cost and tokens of one user on one day (UTC), counted as the answers were stored."""

    #: Null when the user was deleted: what he has cost stays true.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        db_index=False,
        related_name="+",
    )
    day = models.DateField()
    cost = models.FloatField(default=0.0)
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index("day", name="usage_by_day")]
        constraints = [
            models.UniqueConstraint(fields=["user", "day"], name="usage_row_once_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: ${self.cost:.2f}"
