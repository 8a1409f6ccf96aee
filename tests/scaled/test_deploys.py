"""Workers that are interrupted or killed while agents work: others go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.postgresql import needs_postgresql
from tests.scaled.steps import has_lines, lines, observations, work_long
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server
from tests.waiting import until_true
from tests.workers import Worker

pytestmark = needs_postgresql


@pytest.mark.chaos
def test_when_its_time_is_up_a_worker_interrupts_what_runs(
    web: Server, llm: ScriptedLLMServer, start_worker: Callable[..., Worker]
) -> None:
    llm.script(work_long, marker="[long]")
    hasty = start_worker(WORKER_GRACE_SECONDS="0.5")
    conversation_id = web.create("Run long. [long]")
    until_true(partial(has_lines, web, conversation_id, 1))
    start_worker()
    assert hasty.stop() == 0
    assert web.wait_for_rest(conversation_id) == "finished"
    [interrupted] = observations(web, conversation_id)
    assert "interrupted: the process that ran it was shut down" in interrupted["content"]
    assert lines(web, conversation_id) == ["begun"]


@pytest.mark.chaos
def test_a_killed_workers_loop_is_taken_over(
    web: Server, llm: ScriptedLLMServer, start_worker: Callable[..., Worker]
) -> None:
    llm.script(work_long, marker="[killed]")
    killed = start_worker()
    conversation_id = web.create("Run long. [killed]")
    until_true(partial(has_lines, web, conversation_id, 1))
    start_worker()
    killed.kill()
    assert web.wait_for_rest(conversation_id) == "finished"
    [unknown] = observations(web, conversation_id)
    assert unknown["content"].startswith("The outcome is unknown")
    assert lines(web, conversation_id) == ["begun"]
