"""Workers that are interrupted, killed, frozen, or cut off while agents work: the loops go on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

from tests.outage import database_away
from tests.postgresql import needs_postgresql, rows
from tests.scaled.steps import append_next, has_lines, lines, observations, work_long
from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server
from tests.waiting import until_true
from tests.workers import Worker

pytestmark = [needs_postgresql, pytest.mark.chaos]
JOBS = "SELECT count(*) FROM procrastinate_jobs"


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


def test_a_frozen_worker_that_wakes_up_stores_nothing_and_works_on(
    web: Server, llm: ScriptedLLMServer, start_worker: Callable[..., Worker]
) -> None:
    llm.script(work_long, marker="[frozen]")
    frozen = start_worker()
    conversation_id = web.create("Run long. [frozen]")
    until_true(partial(has_lines, web, conversation_id, 1))
    frozen.signal(signal.SIGSTOP)
    successor = start_worker()
    assert web.wait_for_rest(conversation_id) == "finished"
    before = web.trajectory(conversation_id)
    frozen.signal(signal.SIGCONT)
    until_true(lambda: "turn_given_up" in frozen.log)
    assert web.trajectory(conversation_id) == before
    assert lines(web, conversation_id) == ["begun"]
    assert successor.stop() == 0
    llm.script(append_next, marker="[again]")
    assert web.wait_for_rest(web.create("Do some steps. [again]")) == "finished"
    assert frozen.stop() == 0


def test_workers_and_servers_go_on_when_their_database_is_back(
    web: Server, llm: ScriptedLLMServer, start_worker: Callable[..., Worker]
) -> None:
    llm.script(append_next, marker="[outage]")
    worker = start_worker()
    conversation_id = web.create("Do some steps. [outage]")
    until_true(partial(has_lines, web, conversation_id, 2))
    with database_away(web):
        until_true(lambda: web.call("GET", "/ready")[0] == 503)
        until_true(lambda: "no_job_fetched" in worker.log)
    assert web.wait_for_rest(conversation_id) == "finished"
    effects = lines(web, conversation_id)
    assert len(effects) == len(set(effects)), "an effect was repeated"
    observations(web, conversation_id)
    # Nothing stands in the queue for ever, and what comes now is run.
    assert web.wait_for_rest(web.create("Do some steps. [outage]")) == "finished"
    until_true(lambda: rows(web.database["DATABASE_URL"], JOBS) == [(0,)])
    assert worker.stop() == 0
