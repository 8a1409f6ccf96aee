"""Run one turn: claim it, give the loop what it needs, end it so that nothing is stuck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError

from conversations.agent.control import LeaseLostError, TurnControl, TurnHandedBackError
from conversations.agent.limits import LoopConfig
from conversations.agent.llm import LLM
from conversations.agent.loop import AgentLoop
from conversations.agent.metrics import Metrics
from conversations.agent.replay import Replay
from conversations.agent.settling import settlement, state_changed
from conversations.bus import get_bus
from conversations.events.base import EventSource, NewEvent
from conversations.events.observations import ErrorObservation
from conversations.events.states import AgentState
from conversations.exceptions import ConversationGoneError, FencedError
from conversations.models import Control, Conversation, TitleSource
from conversations.runtime.base import Runtime, RuntimeProvider
from conversations.selectors import unsettled_action_ids
from conversations.services.cut_off import CutOff
from conversations.services.event_log import event_append
from conversations.services.lease_keeper import LeaseKeeper
from conversations.services.leases import (
    Claim,
    control_read,
    lease_claim,
    lease_hand_back,
    lease_release,
    requested_read,
)
from conversations.services.loop_log import LoopLog
from conversations.services.repeating import failure_tell
from conversations.services.titles import Expected, TitleMaker
from conversations.services.transactions import (
    RETRY_SECONDS,
    in_db_thread,
    write_transaction,
)
from conversations.services.workspaces import workspace_ensure
from settings_app.selectors import EffectiveSettings, settings_for

log = structlog.get_logger(__name__)

_INTERNAL = "The agent's loop met an internal error and ended. Send a message or resume to go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResources:
    """What the turns of a process share."""

    runtimes: RuntimeProvider
    llm_for: Callable[[EffectiveSettings], LLM]
    keeper: LeaseKeeper
    #: Names this process in the lease, for people who look at it.
    process: str
    loop_config: LoopConfig | None = None
    #: Makes titles of conversations that have none; without it they keep the default.
    titles: TitleMaker | None = None
    cut_off: CutOff = field(default_factory=CutOff)


async def turn_run(*, conversation_id: UUID, resources: TurnResources) -> bool:
    """Run the wanted turn of a conversation to its rest. False when there was none to run."""
    if resources.cut_off.has_to_wait(conversation_id):
        return False
    claim, deadline = await _claim(conversation_id, resources.process)
    if claim is None:
        return False
    control = TurnControl(deadline=deadline)
    if claim.stop_pending:
        control.request_stop()
    # Each turn is run by a task, so in a context of its own.
    structlog.contextvars.bind_contextvars(conversation=conversation_id.hex, epoch=claim.epoch)
    resources.keeper.hold(claim, control)
    watcher = asyncio.create_task(_watch(claim, control))
    try:
        await _run(claim, control, resources)
    except asyncio.CancelledError:
        # The process is ending: whoever comes next need not wait for the lease to run out.
        await in_db_thread(lease_hand_back, claim=claim)
        raise
    finally:
        resources.keeper.let_go(claim)
        watcher.cancel()
        await resources.runtimes.release(conversation_id.hex)
    return True


async def _claim(conversation_id: UUID, process: str) -> tuple[Claim | None, float]:
    """Claim the turn, and give its deadline; a claim made while we were cancelled is handed back.

    The deadline is taken right before the claim: that may have waited for those of other turns.
    """

    def claim_now() -> tuple[Claim | None, float]:
        deadline = time.monotonic() + settings.LEASE_SECONDS
        return lease_claim(conversation_id=conversation_id, process=process), deadline

    claiming = asyncio.ensure_future(in_db_thread(claim_now))
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        claim, _ = await claiming
        if claim is not None:
            await in_db_thread(lease_hand_back, claim=claim)
        raise


async def _watch(claim: Claim, control: TurnControl) -> None:
    """Pass on what is asked of this claim's runner. A missed wake-up is made up by the poll."""
    subscription = get_bus().subscribe(claim.conversation_id)
    try:
        while True:
            try:
                if await in_db_thread(control_read, claim=claim) != Control.NONE:
                    control.request_stop()
                    return
            except DatabaseError as error:
                failure_tell(log, "control_not_read", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await subscription.wait()
    finally:
        subscription.close()


async def _run(claim: Claim, control: TurnControl, resources: TurnResources) -> None:
    key = claim.conversation_id.hex
    try:
        await resources.runtimes.turn_begins(key, epoch=claim.epoch)
        loop = await _build(claim, control, resources)
        await loop.run()
        resources.cut_off.forget(claim.conversation_id)
    except TurnHandedBackError:
        log.info("turn_handed_back")
        await in_db_thread(lease_hand_back, claim=claim)
    except (LeaseLostError, FencedError, ConversationGoneError) as error:
        # Somebody else goes on, or nobody: no command of ours may run beside him.
        log.warning("turn_given_up", reason=error.code)
        await resources.runtimes.discard(key)
        if isinstance(error, ConversationGoneError):
            await in_db_thread(lease_hand_back, claim=claim)
    except (OperationalError, InterfaceError) as error:
        # The database is away, or full. The lease runs out, and the turn goes on when it is back.
        log.warning("turn_cut_off", error=str(error))
        resources.cut_off.note(claim.conversation_id)
        await resources.runtimes.discard(key)
    except Exception:
        # A turn is the outermost place: whatever went wrong in it must not end the process, and
        # must not be tried again for ever.
        log.exception("turn_failed")
        await in_db_thread(_fail, claim)


def _fail(claim: Claim) -> None:
    """End a turn that met an error of ours in the state `error`, so that a person can go on."""
    try:
        with write_transaction():
            Conversation.objects.lock(claim.conversation_id)
            open_actions = unsettled_action_ids(claim.conversation_id)
            events = [
                # As after a crash: the first may have had its effect.
                *(settlement(event_id, "unknown") for event_id in open_actions[:1]),
                *(settlement(event_id, "not_executed") for event_id in open_actions[1:]),
                NewEvent(source=EventSource.ENVIRONMENT, body=ErrorObservation(content=_INTERNAL)),
                state_changed(AgentState.ERROR, "internal_error"),
            ]
            event_append(conversation_id=claim.conversation_id, events=events, epoch=claim.epoch)
            served = requested_read(conversation_id=claim.conversation_id)
            lease_release(claim=claim, served=served)
    except (DatabaseError, FencedError, ConversationGoneError) as error:
        # The lease runs out, and the sweep hands the turn to the next runner.
        log.warning("turn_not_released", error=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    conversation: Conversation
    settings: EffectiveSettings | None


def _inputs(claim: Claim) -> _Inputs:
    conversation = Conversation.objects.alive().filter(pk=claim.conversation_id).first()
    if conversation is None:
        raise ConversationGoneError
    return _Inputs(conversation=conversation, settings=settings_for(user_id=conversation.owner_id))


async def _build(claim: Claim, control: TurnControl, resources: TurnResources) -> AgentLoop:
    inputs = await in_db_thread(_inputs, claim)
    conversation, user = inputs.conversation, inputs.settings
    if resources.titles is not None and conversation.title_source == TitleSource.DEFAULT:
        untitled = Expected(conversation.title, conversation.title_source)
        resources.titles.begin(claim.conversation_id, untitled)
    workspace = await asyncio.to_thread(workspace_ensure, claim.conversation_id)

    async def runtime(shell_was_used: bool) -> Runtime:  # noqa: FBT001  # the loop's one question
        return await resources.runtimes.acquire(
            key=claim.conversation_id.hex, workspace=workspace, shell_was_used=shell_was_used
        )

    return AgentLoop(
        log=LoopLog(claim=claim, secrets=user.secrets if user else ()),
        llm=resources.llm_for(user) if user and user.llm_api_key.strip() else None,
        runtime=runtime,
        control=control,
        config=resources.loop_config or _loop_config(user),
        replay=Replay(conversation.replay) if conversation.replay else None,
        metrics=_metrics(conversation, user),
    )


def _loop_config(user: EffectiveSettings | None) -> LoopConfig:
    return LoopConfig(
        max_iterations=(user and user.max_iterations) or settings.MAX_ITERATIONS,
        max_seconds=settings.MAX_TURN_SECONDS,
        max_budget=settings.MAX_BUDGET_PER_TASK,
        confirmation_mode=bool(user and user.confirmation_mode),
    )


def _metrics(conversation: Conversation, user: EffectiveSettings | None) -> Metrics:
    return Metrics(
        model=user.llm_model if user else "",
        accumulated_cost=conversation.accumulated_cost,
        prompt_tokens=conversation.prompt_tokens,
        completion_tokens=conversation.completion_tokens,
    )
