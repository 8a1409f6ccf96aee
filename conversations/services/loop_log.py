"""The loop's door to the log: every write names the claim's epoch, every secret is masked."""

from __future__ import annotations

from collections.abc import Sequence

from conversations.agent.control import TurnInterruptedError
from conversations.agent.llm import Usage
from conversations.agent.settling import state_changed
from conversations.events.base import Event, NewEvent
from conversations.events.codec import event_from_row
from conversations.events.states import AgentState
from conversations.exceptions import FencedError, LogMovedError
from conversations.models import Control, Conversation, EventRecord, LoopLease
from conversations.services.event_log import event_append
from conversations.services.leases import Claim, control_read, lease_release, requested_read
from conversations.services.transactions import in_db_thread, write_transaction


class LoopLog:
    """Implements conversations.agent.log.Log for one claim."""

    def __init__(self, *, claim: Claim, secrets: tuple[str, ...] = ()) -> None:
        self._claim = claim
        self._secrets = secrets
        #: The requests that this turn has taken in: read before the events, every time.
        self.served = 0

    async def read(self, after: int) -> list[Event]:
        """Give the stored events with an id above `after`, in order."""
        return await in_db_thread(self._read, after)

    def _read(self, after: int) -> list[Event]:
        conversation_id = self._claim.conversation_id
        served = requested_read(conversation_id=conversation_id)
        records = EventRecord.objects.filter(
            conversation_id=conversation_id, event_id__gt=after
        ).order_by("event_id")
        events = [event_from_row(record.to_row()) for record in records]
        self.served = served
        return events

    async def append(self, events: Sequence[NewEvent], *, usage: Usage | None = None) -> None:
        """Store events under this claim's epoch."""
        await in_db_thread(self._append, events, usage=usage)

    def _append(
        self,
        events: Sequence[NewEvent],
        *,
        usage: Usage | None = None,
        only_if_last: int | None = None,
    ) -> None:
        event_append(
            conversation_id=self._claim.conversation_id,
            events=events,
            epoch=self._claim.epoch,
            only_if_last=only_if_last,
            usage=usage,
            secrets=self._secrets,
        )

    async def rest(self, events: Sequence[NewEvent], *, only_if_last: int) -> None:
        """Store events and give the lease back, in one transaction."""
        await in_db_thread(self._rest, events, only_if_last)

    def _rest(self, events: Sequence[NewEvent], only_if_last: int) -> None:
        with write_transaction():
            # The row's lock first: a stop that is asked for now comes before the release, or after.
            row = Conversation.objects.alive().select_for_update(no_key=True)
            last = row.filter(pk=self._claim.conversation_id, epoch=self._claim.epoch)
            newest = last.values_list("last_event_id", flat=True).first()
            if newest is None:
                raise FencedError
            if control_read(claim=self._claim) != Control.NONE:
                raise TurnInterruptedError
            if newest != only_if_last:
                raise LogMovedError
            if events:
                self._append(events)
            self._release(self.served)

    def _release(self, served: int) -> None:
        if not lease_release(claim=self._claim, served=served):
            raise FencedError

    async def stop(self, events: Sequence[NewEvent], *, only_if_last: int) -> None:
        """Store events and the state that was asked for, and give the lease back."""
        await in_db_thread(self._stop, events, only_if_last)

    def _stop(self, events: Sequence[NewEvent], only_if_last: int) -> None:
        with write_transaction():
            # The conversation's row first: whoever asks for a stop or sends a message locks it too.
            Conversation.objects.lock(self._claim.conversation_id)
            lease = LoopLease.objects.get(conversation_id=self._claim.conversation_id)
            state = AgentState.PAUSED if lease.control == Control.PAUSE else AgentState.STOPPED
            states = [state_changed(state)]
            served = lease.requested
            if lease.control == Control.RESTART:
                states.append(state_changed(AgentState.RUNNING))
                served -= 1
            self._append([*events, *states], only_if_last=only_if_last)
            self._release(served)
