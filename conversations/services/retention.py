"""Deletes what is over RETENTION_DAYS, once a night, in one process. It knows no event loop."""

from __future__ import annotations

import threading
from datetime import datetime, time, timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from conversations.services.chores import chore_claim, chore_done, chore_leave, chore_renew
from conversations.services.purging import Purge, batch_delete, old_conversations

log = structlog.get_logger(__name__)

CHORE = "retention"
#: When it is due, in UTC. A server that did not run then does it when it starts.
HOUR = time(3)
#: Seconds between two batches, in which others write.
PAUSE_SECONDS = 0.1


def due_at(now: datetime) -> datetime:
    """Give the last time, until `now`, at which it was due."""
    today = datetime.combine(now.date(), HOUR, tzinfo=now.tzinfo)
    return today if today <= now else today - timedelta(days=1)


def retention_run(*, process: str, stopped: threading.Event) -> int | None:
    """Purge if it is due and nobody else does; give the number, None where nothing was to do.

    A process that dies in the middle has deleted whole batches; another one goes on.
    """
    days, now = settings.RETENTION_DAYS, timezone.now()
    if days is None or not chore_claim(name=CHORE, process=process, due=due_at(now)):
        return None
    purge = Purge(before=now - timedelta(days=days))
    log.info("retention_started", days=days, conversations=purge.rows().count())
    deleted = 0
    for batch in old_conversations(purge):
        if stopped.wait(PAUSE_SECONDS):
            chore_leave(name=CHORE, process=process)
            log.info("retention_left", deleted=deleted)
            return deleted
        if not chore_renew(name=CHORE, process=process):
            log.warning("retention_taken_over", deleted=deleted)
            return deleted
        deleted += len(batch_delete(purge, batch))
    chore_done(name=CHORE, process=process)
    log.info("retention_done", deleted=deleted)
    return deleted
