"""The agent loop: read the log, do the next thing, record it, until it rests. No Django here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from conversations.agent.answers import events_of, needs_confirmation, with_new_id
from conversations.agent.control import (
    LeaseLostError,
    TurnControl,
    TurnHandedBackError,
    TurnInterruptedError,
)
from conversations.agent.history import messages_of
from conversations.agent.limits import LimitReachedError, LoopConfig, check_limits
from conversations.agent.llm import LLM, LLMError, LLMErrorKind, LLMResponse, Usage
from conversations.agent.log import Log
from conversations.agent.metrics import Metrics
from conversations.agent.position import USER_COMMAND, Position
from conversations.agent.repetition import check_repetition
from conversations.agent.replay import Replay
from conversations.agent.settling import (
    error_for,
    leftovers,
    not_begun,
    rejections,
    settlement,
    state_changed,
)
from conversations.agent.tools import TOOLS
from conversations.events.actions import ThinkAction
from conversations.events.base import Action, Event, EventSource, NewEvent, Observation
from conversations.events.observations import ErrorObservation, ThinkObservation
from conversations.events.states import WORKING_STATES, AgentState
from conversations.exceptions import LogMovedError
from conversations.runtime.base import Runtime

T = TypeVar("T")

#: How often, and how far apart, a command is interrupted before its sandbox is given up.
INTERRUPTS, INTERRUPT_SECONDS = 20, 0.25
#: Seconds that a cancelled LLM call may take to end.
CANCEL_SECONDS = 1.0
#: Tries to rest or stop on a log that other writers keep moving.
MAX_LOG_MOVES = 100
_NO_KEY = "There is no API key for the LLM. Save one in the settings, then send a message."


@dataclass(slots=True, kw_only=True)
class AgentLoop:
    """Works on one conversation for one turn. What it knows, it reads from the log."""

    log: Log
    llm: LLM | None
    runtime: Callable[[bool], Awaitable[Runtime]]
    control: TurnControl
    config: LoopConfig
    replay: Replay | None = None
    metrics: Metrics = field(default_factory=Metrics)
    claimed_at: datetime = field(default_factory=partial(datetime.now, UTC))
    position: Position = field(init=False)
    _runtime: Runtime | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.position = Position(replay_length=len(self.replay) if self.replay else 0)

    async def run(self) -> None:
        """Take the turn to its rest.

        Raises LeaseLostError, FencedError, ConversationGoneError or TurnHandedBackError where
        somebody else goes on.
        """
        await self._refresh()
        await self._append(leftovers(self.position))
        for _ in range(MAX_LOG_MOVES):
            try:
                await self._work()
            except TurnInterruptedError:
                if await self._try_stop():
                    return
            except TurnHandedBackError:
                await self._append(not_begun(self.position))
                raise
            except LogMovedError:
                await self._refresh()
            else:
                return
        message = f"the log moved {MAX_LOG_MOVES} times while the turn came to rest"
        raise LogMovedError(message)

    async def _work(self) -> None:
        while await self._step():
            await self._refresh()

    async def _refresh(self) -> None:
        self.position.extend(await self.log.read(self.position.last_event_id))

    async def _append(self, events: Sequence[NewEvent], usage: Usage | None = None) -> None:
        self._check_lease()
        if events:
            await self.log.append(events, usage=usage)
            await self._refresh()

    def _check_lease(self) -> None:
        if self.control.lease_lost:
            raise LeaseLostError

    # -- one step ------------------------------------------------------------------------------

    async def _step(self) -> bool:
        """Do the next thing that the log asks for. False when the turn has come to rest."""
        self.control.check()
        position = self.position
        agent_action = position.first_unsettled(EventSource.AGENT)
        if agent_action is not None and not position.in_confirmation:
            return await self._agent_action(agent_action)
        self.control.check(at_boundary=True)
        command = position.next_user_command()
        if command is not None:
            await self._user_command(command)
            return True
        if position.in_confirmation:
            return await self._confirmation(agent_action)
        works = position.state in WORKING_STATES or position.has_unanswered_message
        if self.replay and position.agent_actions < len(self.replay) and works:
            await self._start_running()
            await self._append(self.replay.step(position.agent_actions))
            return True
        return await self._go_on()

    async def _go_on(self) -> bool:
        position = self.position
        if not position.has_unanswered_message:
            if position.state not in WORKING_STATES:
                return await self._rest(position.state)
            if position.rest_after_answer is not None:
                return await self._rest(position.rest_after_answer)
            if self.llm is None and self.replay:
                return await self._rest(AgentState.AWAITING_USER_INPUT)
        await self._start_running()
        return await self._ask()

    async def _start_running(self) -> None:
        if self.position.state is not AgentState.RUNNING:
            await self._append([state_changed(AgentState.RUNNING)])

    async def _rest(self, state: AgentState, reason: str = "", *before: NewEvent) -> bool:
        """End the turn in a state, unless something came that the turn has not seen."""
        self.control.check()
        events = list(before)
        if events or self.position.shown_state is not state:
            events.append(state_changed(state, reason))
        await self.log.rest(events, only_if_last=self.position.last_event_id)
        return False

    # -- executing -----------------------------------------------------------------------------

    async def _agent_action(self, event: Event) -> bool:
        assert isinstance(event.body, Action)
        asks = self.config.confirmation_mode and needs_confirmation(event.body)
        if asks and event.event_id not in self.position.started and not self._is_replayed(event):
            return await self._rest(AgentState.AWAITING_USER_CONFIRMATION)
        await self._execute(event)
        return True

    def _is_replayed(self, event: Event) -> bool:
        return self.replay is not None and event.seen_event_id == 0

    async def _user_command(self, event: Event) -> None:
        before = self.position.state
        # The marker goes first: after a crash it says that the command may have run.
        await self._append([state_changed(AgentState.RUNNING, USER_COMMAND)])
        await self._execute(event)
        if before not in WORKING_STATES:
            await self._append([state_changed(before)])

    async def _confirmation(self, pending: Event | None) -> bool:
        """Act on the user's word for the pending action; a new message is a no."""
        position = self.position
        if position.state is AgentState.USER_CONFIRMED or pending is None:
            # `running` is stored before the effect, so that a crash can't repeat it.
            await self._append([state_changed(AgentState.RUNNING)])
            return True
        if position.has_unanswered_message:
            await self._append([*rejections(position), state_changed(AgentState.RUNNING)])
            return True
        if position.state is AgentState.USER_REJECTED:
            return await self._rest(AgentState.AWAITING_USER_INPUT, "", *rejections(position))
        return await self._rest(position.state)

    async def _execute(self, event: Event) -> None:
        observation = await self._observe(event)
        await self._append([NewEvent(source=event.source, body=observation, cause=event.event_id)])
        self.control.check()

    async def _observe(self, event: Event) -> Observation:
        """Carry out an action, interrupted where the turn has to end; it is observed anyhow."""
        action = event.body
        assert isinstance(action, Action)
        if isinstance(action, ThinkAction):
            return ThinkObservation(content="The thought has been written down.")
        if self._runtime is None:
            self._runtime = await self.runtime(self.position.shell_was_used)
        self.control.check()
        execution = asyncio.ensure_future(self._runtime.execute(action))
        try:
            if not await self._first_of(execution):
                await self._interrupt(self._runtime, execution)
            if execution.done():
                return execution.result()
            await self._runtime.close()
            return ErrorObservation(content=error_for("unstoppable"))
        finally:
            execution.cancel()

    async def _interrupt(self, runtime: Runtime, execution: asyncio.Future[Observation]) -> None:
        """Interrupt until it is heard: what has only begun to begin may not hear the first."""
        for _ in range(INTERRUPTS):
            await runtime.interrupt(self.control.interrupted_by)
            done, _pending = await asyncio.wait({execution}, timeout=INTERRUPT_SECONDS)
            if done:
                return

    async def _first_of(self, task: asyncio.Future[Any], *, at_boundary: bool = False) -> bool:
        """Wait for a task or for the turn's end by order; True when the task was first."""
        ended = asyncio.ensure_future(self.control.wait(at_boundary=at_boundary))
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        return task.done()

    async def _unless_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """Await what has no effect to settle; cancel it when the turn has to end."""
        task = asyncio.ensure_future(work)
        try:
            if not await self._first_of(task, at_boundary=True):
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_SECONDS)
                self.control.check(at_boundary=True)
            return task.result()
        finally:
            task.cancel()

    # -- asking --------------------------------------------------------------------------------

    async def _ask(self) -> bool:
        try:
            cost = self.metrics.accumulated_cost
            check_limits(self.config, self.position, cost=cost, claimed_at=self.claimed_at)
            check_repetition(self.position.events, since=self.position.begun_at)
            response = await self._complete()
        except LimitReachedError as error:
            return await self._rest(AgentState.PAUSED, error.code, _failure(str(error)))
        except LLMError as error:
            limited = error.kind is LLMErrorKind.RATE_LIMIT
            state = AgentState.RATE_LIMITED if limited else AgentState.ERROR
            return await self._rest(state, error.kind, _failure(str(error), error.kind))
        self.metrics.add(response.usage)
        events = events_of(
            with_new_id(response, self.position.answer_ids),
            seen=self.position.last_event_id,
            llm_metrics=self.metrics.to_wire(),
            confirmation_mode=self.config.confirmation_mode,
        )
        await self._append(events, response.usage)
        return True

    async def _complete(self) -> LLMResponse:
        """Ask the LLM, again after a pause where the provider failed. Raises LLMError at last."""
        if self.llm is None:
            raise LLMError(LLMErrorKind.AUTHENTICATION, _NO_KEY, retryable=False)
        # Aside: a long history takes a while to put together.
        messages = await asyncio.to_thread(messages_of, tuple(self.position.events))
        for wait in (*self.config.retry_waits, None):
            try:
                return await self._unless_ended(self.llm.complete(messages, TOOLS))
            except LLMError as error:
                if wait is None or not error.retryable:
                    raise
                pause = max(wait, min(error.retry_after or 0.0, self.config.longest_wait))
            await self._unless_ended(asyncio.sleep(pause))
        raise AssertionError

    # -- stopping ------------------------------------------------------------------------------

    async def _try_stop(self) -> bool:
        """Settle what is open and stop. False when the log moved meanwhile: look again."""
        self._check_lease()
        await self._refresh()
        open_actions = [settlement(event_id, "stopped") for event_id in self.position.unsettled]
        try:
            await self.log.stop(open_actions, only_if_last=self.position.last_event_id)
        except LogMovedError:
            return False
        return True


def _failure(text: str, error_id: str = "") -> NewEvent:
    return NewEvent(
        source=EventSource.ENVIRONMENT, body=ErrorObservation(content=text, error_id=error_id)
    )
