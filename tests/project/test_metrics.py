"""/metrics: who gets it, and that it counts what happens: exactly, in a bounded set of labels."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from conversations.agent.llm import LLMError, LLMErrorKind
from conversations.agent.testing import ScriptedLLM
from conversations.agent.testing import run as answer
from conversations.models import LoopLease
from conversations.services.leases import Claim, lease_claim, lease_hand_back
from conversations.telemetry import MOST_MODELS, OTHER, Telemetry, telemetry
from project.llms import CountedLLM
from settings_app.models import User
from tests.accounts.test_matrix import ROUTES
from tests.commands.operating import conversation
from tests.scripted_llm import ScriptedLLMServer, error, finish, run
from tests.secrets_search import assert_tells_no_secret
from tests.serving import Client, Server
from tests.waiting import until_true

TOKEN = "scrape-0123456789-abcdefghij"
GOOD = {"Authorization": f"Bearer {TOKEN}"}
#: A sample: its name and its labels, in order.
Sample = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("metered")
    (folder / "token").write_text(f"{TOKEN}\n")
    made = Server(folder, METRICS_TOKEN_FILE=str(folder / "token"), LEASE_SECONDS="1")
    made.start()
    made.use_model(llm.base_url)
    # The first call loads the LLM's library, and may take longer than a title gets.
    llm.script([finish("Loaded.")], marker="[load]")
    made.wait_for_rest(made.create("Load. [load]"))
    yield made
    made.kill()


def ask(
    server: Server, path: str = "/metrics", *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Give status, headers and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def read(text: str) -> dict[Sample, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(server: Server) -> dict[Sample, float]:
    status, headers, text = ask(server, **GOOD)
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert_tells_no_secret(text)
    assert TOKEN not in text
    return read(text)


def key(name: str, **labels: str) -> Sample:
    return f"handrail_{name}", tuple(sorted(labels.items()))


def grown(before: dict[Sample, float], after: dict[Sample, float], name: str) -> dict[Any, float]:
    """Give what has been added to the samples of one name, by their labels' values."""
    return {
        tuple(value for _, value in labels): number - before.get((found, labels), 0)
        for (found, labels), number in after.items()
        if found == f"handrail_{name}" and number != before.get((found, labels), 0)
    }


def test_without_a_token_in_the_settings_there_is_nothing(bare_server: Server) -> None:
    for headers in ({}, GOOD, {"Authorization": "Bearer "}):
        status, _, text = ask(bare_server, **headers)
        assert status == 404
        assert "handrail_" not in text


@pytest.mark.parametrize(
    "given",
    ["", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer", f"Token {TOKEN}", TOKEN, "Bearer é"],
)
def test_whoever_has_not_the_token_gets_nothing(metered: Server, given: str) -> None:
    status, headers, text = ask(metered, **({"Authorization": given} if given else {}))
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    assert "handrail_" not in text


def test_it_is_for_reading_only(metered: Server) -> None:
    assert "handrail_" not in ask(metered, method="POST", **GOOD)[2]
    assert ask(metered, method="HEAD", **GOOD)[::2] == (200, "")


def test_a_conversation_is_counted_exactly(metered: Server, llm: ScriptedLLMServer) -> None:
    llm.script([run("echo counted"), finish("Done.")], marker="[metered]")
    before = scrape(metered)
    conversation_id = metered.create("Work. [metered]")
    assert metered.wait_for_rest(conversation_id) == "finished"
    titled = key("titles_total", source="llm")
    until_true(lambda: scrape(metered).get(titled, 0) == before.get(titled, 0) + 1)
    log = metered.trajectory(conversation_id)
    after = scrape(metered)

    kinds: dict[tuple[str, str], int] = {}
    for event in log:
        type_ = "action" if "action" in event else "observation"
        kinds[event[type_], type_] = kinds.get((event[type_], type_), 0) + 1
    assert kinds["run", "action"] == kinds["run", "observation"] == 1
    assert grown(before, after, "events_appended_total") == kinds
    # Two steps and a title.
    model = "openai/scripted"
    assert grown(before, after, "llm_answer_seconds_count") == {(model,): 3}
    assert grown(before, after, "llm_tokens_total") == {
        (model, "prompt"): 300,
        (model, "completion"): 30,
    }
    assert grown(before, after, "llm_failures_total") == {}
    assert grown(before, after, "turn_wait_seconds_count") == {(): 1}
    assert grown(before, after, "recoveries_total") == {}
    requests = grown(before, after, "http_request_seconds_count")
    assert requests["POST", "api/conversations", "200"] == 1
    assert requests["GET", "api/conversations/<str:conversation_id>/trajectory", "200"] == 2
    assert after[key("loops", state="running")] == after[key("loops", state="waiting")] == 0
    assert conversation_id not in str(after)
    assert metered.ok("DELETE", f"/api/conversations/{conversation_id}") is True
    assert grown(after, scrape(metered), "conversations_deleted_total") == {(): 1}


def test_it_says_what_runs_here(metered: Server) -> None:
    found = scrape(metered)
    builds = [labels for name, labels in found if name == "handrail_build_info"]
    assert [dict(labels)["version"] for labels in builds] == ["0.1.0"]
    assert found["process_resident_memory_bytes", ()] > 10_000_000
    assert found[key("database_up")] == 1
    assert 0 <= found[key("sweep_age_seconds")] < 15


async def test_open_sockets_are_counted(metered: Server, llm: ScriptedLLMServer) -> None:
    conversation_id = await asyncio.to_thread(metered.create, "")

    def open_sockets() -> float:
        return scrape(metered)[key("sockets_open")]

    async with Client(metered, conversation_id), Client(metered, conversation_id) as second:
        assert await asyncio.to_thread(open_sockets) == 2
        await second.cut()
        await asyncio.to_thread(until_true, lambda: open_sockets() == 1)
    await asyncio.to_thread(until_true, lambda: open_sockets() == 0)


@pytest.fixture
def no_titles(llm: ScriptedLLMServer) -> Iterator[None]:
    before, llm.title_answer = llm.title_answer, error(401)
    yield
    llm.title_answer = before


@pytest.mark.usefixtures("no_titles")
def test_failures_are_told_by_kind_and_a_name_that_never_answered_is_not_shown(
    metered: Server, llm: ScriptedLLMServer
) -> None:
    llm.script([error(401)], marker="[mistaken]")
    before = scrape(metered)
    # Anything may stand there, a key put into the wrong field too.
    metered.ok("POST", "/api/settings", {"llm_model": "openai/what-a-mistake"})
    conversation_id = metered.create("Fail. [mistaken]")
    assert metered.wait_for_rest(conversation_id) == "error"
    metered.ok("POST", "/api/settings", {"llm_model": "openai/scripted"})
    titled = key("titles_total", source="message")
    until_true(lambda: scrape(metered).get(titled, 0) == before.get(titled, 0) + 1)
    after = scrape(metered)
    # The turn's, and the title's.
    assert grown(before, after, "llm_failures_total") == {("authentication", OTHER): 2}
    assert "mistake" not in str(after)


def test_paths_methods_and_hosts_of_strangers_make_no_labels(metered: Server) -> None:
    for number in range(20):
        assert ask(metered, f"/api/odd-{number}")[0] == 404
        assert ask(metered, f"/odd-{number}")[0] == 404
        assert ask(metered, "/health", Host=f"odd-{number}.example")[0] == 403
    for method in ("ODD", "PURGE", "PROPFIND"):
        assert ask(metered, "/health", method=method)[0] in {400, 403, 405}
    shown = [
        dict(labels)
        for name, labels in scrape(metered)
        if name == "handrail_http_request_seconds_count"
    ]
    assert not re.search("odd|purge|propfind", str(shown).lower())
    assert {labels["method"] for labels in shown} >= {"GET", OTHER}
    routes = {labels["route"] for labels in shown}
    assert {"none", "outside", "web_client", "health"} <= routes
    # No more than there are routes, and the three that are none.
    assert len(routes) <= len(ROUTES) + 3


def test_a_turn_that_was_taken_over_is_a_recovery(metered: Server) -> None:
    # By a recording: after its second start the server need not load the LLM's library again.
    actions = [
        {"source": "agent", "action": "run", "args": {"command": "sleep 30.0707"}},
        {"source": "agent", "action": "finish", "args": {"outputs": {}, "thought": "Done."}},
    ]
    conversation_id = metered.create("", replay_json=json.dumps(actions))
    until_true(lambda: scrape(metered)[key("loops", state="running")] == 1)
    until_true(lambda: any(e.get("action") == "run" for e in metered.trajectory(conversation_id)))
    metered.kill()
    metered.start()
    assert metered.wait_for_rest(conversation_id) == "finished"
    found = scrape(metered)
    assert found[key("recoveries_total")] == 1
    assert found[key("turn_wait_seconds_count")] == 1


def test_what_was_handed_back_is_no_recovery_and_each_wait_has_its_begin(user: User) -> None:
    def value(name: str) -> float:
        return telemetry.registry.get_sample_value(f"handrail_{name}") or 0

    def claimed(process: str) -> tuple[Claim, float, float]:
        """Claim; give how long it had waited, and whether it counts as a recovery."""
        names = ("turn_wait_seconds_sum", "recoveries_total")
        before = [value(name) for name in names]
        claim = lease_claim(conversation_id=row.pk, process=process)
        assert claim is not None
        waited, recovered = (value(n) - b for n, b in zip(names, before, strict=True))
        return claim, waited, recovered

    row = conversation(user, days=1, wanted=True)
    claim, waited, recovered = claimed("one")
    assert waited >= 86_400
    assert recovered == 0
    lease_hand_back(claim=claim)
    _, waited, recovered = claimed("two")
    assert waited < 86_400
    assert recovered == 0
    # Its runner died an hour ago.
    ago = timezone.now() - timedelta(hours=1)
    LoopLease.objects.filter(pk=row.pk).update(lease_expires_at=ago)
    _, waited, recovered = claimed("three")
    assert 3_600 <= waited < 86_400
    assert recovered == 1


@pytest.fixture
def counts() -> Telemetry:
    return Telemetry()


async def test_a_thousand_odd_names_of_models_make_a_bounded_set(counts: Telemetry) -> None:
    counts.process_described(version="1", python="3", model="own/model")
    names = [f"odd/{number}" for number in range(1_000)]
    odd = ["", "a b", "x" * 101, 'q"\n', "ü", "own/model", *names]
    for name in odd:
        await CountedLLM(ScriptedLLM([answer("ls")]), model=name, counts=counts).complete([], [])
    found = read(generate_latest(counts.registry).decode())
    seen = {
        dict(labels)["model"]: number
        for (name, labels), number in found.items()
        if name == "handrail_llm_answer_seconds_count"
    }
    assert len(seen) == MOST_MODELS + 1
    assert sum(seen.values()) == len(odd)
    assert seen["own/model"] == seen["odd/0"] == 1
    assert set(seen) <= {*names, "own/model", OTHER}
    cost = found["handrail_llm_cost_dollars_total", (("model", "odd/0"),)]
    assert cost == pytest.approx(0.01)
    tokens = (("model", "odd/0"), ("type", "completion"))
    assert found["handrail_llm_tokens_total", tokens] == 10


async def test_every_kind_of_failure_has_its_word(counts: Telemetry) -> None:
    for kind in LLMErrorKind:
        llm = ScriptedLLM([LLMError(kind, "no", retryable=False)])
        with pytest.raises(LLMError):
            await CountedLLM(llm, model="a", counts=counts).complete([], [])
    found = read(generate_latest(counts.registry).decode())
    words = {
        dict(labels)["kind"] for name, labels in found if name == "handrail_llm_failures_total"
    }
    assert words == {kind.name.lower() for kind in LLMErrorKind}
