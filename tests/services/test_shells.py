"""A shell kept warm in one worker while turns of its conversation run in another, or here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from conversations.agent.testing import finish, run, text
from conversations.models import Conversation
from conversations.runtime.local import LocalRuntimeProvider
from conversations.services.turns import TurnResources, turn_run
from tests.services.doubles import ScriptedTurns
from tests.services.from_async import create, said, send

Make = Callable[..., Conversation]
Sandboxed = Callable[..., TurnResources]


@pytest.fixture
async def sandboxed(turns: Callable[..., ScriptedTurns]) -> AsyncIterator[Sandboxed]:
    """Give a maker of processes with sandboxes of their own."""
    made: list[TurnResources] = []

    def make(*script: object) -> TurnResources:
        process = turns(*script, process=f"worker-{len(made)}", keeper_runs=False)
        made.append(replace(process.resources, runtimes=LocalRuntimeProvider()))
        return made[-1]

    yield make
    for resources in made:
        await resources.runtimes.close()


async def test_a_shell_that_missed_a_turn_elsewhere_is_not_gone_on_in(
    sandboxed: Sandboxed, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    one = sandboxed(run("A=one"), finish(), run("echo [$A]"), finish())
    other = sandboxed(run("A=other"), finish())
    for worker in (one, other, one):
        assert await turn_run(conversation_id=conversation.pk, resources=worker)
        await send(conversation=conversation, content="Go on.")
    first, elsewhere, back = await said(conversation, "run")
    assert not first
    assert elsewhere.startswith("[This is a new shell")
    assert back.startswith("[This is a new shell")
    assert back.endswith("[]")


async def test_a_shell_outlives_turns_here_that_need_none(
    sandboxed: Sandboxed, conversation_of: Make
) -> None:
    conversation = await create(conversation_of)()
    worker = sandboxed(run("A=one"), finish(), text("Well."), run("echo [$A]"), finish())
    for _ in range(3):
        assert await turn_run(conversation_id=conversation.pk, resources=worker)
        await send(conversation=conversation, content="Go on.")
    assert await said(conversation, "run") == ["", "[one]"]
