"""Workers that are interrupted, killed, frozen, or cut off while agents work: the loops go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.faults.network import Network
from tests.outage import database_away
from tests.postgresql import needs_postgresql, rows
from tests.scaled.steps import append_next, has_lines, lines, observations, work_long
from tests.scripted_llm import ScriptedLLMServer, calls, finish
from tests.serving import Server
from tests.waiting import until_true
from tests.workers import Worker

pytestmark = [needs_postgresql, pytest.mark.chaos]
JOBS = "SELECT count(*) FROM procrastinate_jobs"
NEWEST_WORKER = "SELECT max(id) FROM procrastinate_workers"


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


@pytest.fixture
def network(web: Server) -> Iterator[Network]:
    """Give a stretch of network that leads to the database."""
    made = Network(urlsplit(web.environment["DATABASE_URL"]).port or 5432)
    yield made
    made.close()


def through(network: Network, web: Server) -> str:
    """Give the database's address by way of it."""
    found = urlsplit(web.environment["DATABASE_URL"])
    user = f"{found.netloc.rpartition('@')[0]}@" if "@" in found.netloc else ""
    return found._replace(netloc=f"{user}127.0.0.1:{network.port}").geturl()


def test_a_job_that_was_given_to_a_worker_unheard_is_run(
    web: Server, llm: ScriptedLLMServer, start_worker: Callable[..., Worker], network: Network
) -> None:
    """The queue has committed that the job is the worker's, and the connection breaks."""
    llm.script(lambda _: calls(finish("Done.")), marker="[unheard]")
    worker = start_worker(DATABASE_URL=through(network, web))
    until_true(lambda: "Handrail works" in worker.log, seconds=60)
    network.lose_reply(b"handrail.turn", b"COMMIT")
    conversation_id = web.create("Do it. [unheard]")
    until_true(network.has_lost.is_set)
    assert web.wait_for_rest(conversation_id, seconds=60) == "finished"


def test_a_worker_whose_database_does_not_answer_ends_in_time(
    web: Server, start_worker: Callable[..., Worker], network: Network
) -> None:
    before = rows(web.database["DATABASE_URL"], NEWEST_WORKER)
    worker = start_worker(DATABASE_URL=through(network, web), WORKER_GRACE_SECONDS="0.5")
    # Not only begun: before it listens to the signal, it is killed by it.
    until_true(lambda: rows(web.database["DATABASE_URL"], NEWEST_WORKER) != before, seconds=60)
    with network.stalled():
        worker.signal(signal.SIGTERM)
        assert worker.wait(seconds=20) >= 0
    assert "Traceback" not in worker.log
