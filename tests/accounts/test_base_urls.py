"""In accounts mode a user's base URL does not lead into the server's own network."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.accounts.conftest import OPERATORS_OWN
from tests.accounts.people import People
from tests.scripted_llm import ScriptedLLMServer, error, finish
from tests.waiting import until_true


@contextmanager
def inner_server() -> Iterator[str]:
    """Give an address of this machine that the server does not allow; see that nobody connects."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        yield f"http://127.0.0.2:{listener.getsockname()[1]}/v1"
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def rest(people: People, conversation_id: str, *, name: str = "ada") -> list[dict[str, Any]]:
    """Wait until nothing runs; give the events."""
    path = f"/api/conversations/{conversation_id}"

    def rests() -> bool:
        return bool(people.call(name, "GET", path)[1]["status"] == "STOPPED")

    until_true(rests, seconds=60)
    trajectory: list[dict[str, Any]] = people.call(name, "GET", f"{path}/trajectory")[1][
        "trajectory"
    ]
    return trajectory


def state_of(events: list[dict[str, Any]]) -> str:
    return str(
        [e["extras"] for e in events if e.get("observation") == "agent_state_changed"][-1][
            "agent_state"
        ]
    )


def assert_told_plainly(events: list[dict[str, Any]]) -> None:
    assert state_of(events) == "error"
    said = json.dumps(events)
    assert "was not sent: the address lies in this server's own network" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "url",
    [
        # This server allows 127.0.0.1.
        *("http://127.0.0.2:1/v1", "http://localhost/v1", "http://169.254.169.254/latest"),
        *("http://0x7f.2", "http://[::ffff:10.0.0.1]:80", "http://2130706434", "10.0.0.1:8000"),
    ],
)
def test_an_inner_address_is_refused_on_saving(people: People, url: str) -> None:
    before = people.call("bob", "GET", "/api/settings")[1]
    status, answer = people.call("bob", "POST", "/api/settings", {"llm_base_url": url})
    assert status == 422
    assert answer["detail"][0]["loc"] == ["body", "llm_base_url"]
    assert "LLM_BASE_URL_ALLOW" in answer["message"]
    assert people.call("bob", "GET", "/api/settings")[1] == before


def test_an_address_in_a_models_name_is_refused_on_saving(people: People) -> None:
    before = people.call("bob", "GET", "/api/settings")[1]
    body = {"llm_model": "oobabooga/http://10.0.0.1:5000"}
    status, answer = people.call("bob", "POST", "/api/settings", body)
    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "llm_model"])
    assert "put the address into the base URL" in answer["message"]
    assert people.call("bob", "GET", "/api/settings")[1] == before


def test_a_public_address_is_saved_and_nothing_is_resolved(people: People) -> None:
    before = people.call("bob", "GET", "/api/settings")[1]["llm_base_url"]
    for url in ("https://no-such-name.invalid/v1", "https://8.8.8.8/v1", before):
        assert people.call("bob", "POST", "/api/settings", {"llm_base_url": url})[0] == 200


def test_what_the_operator_allows_answers_and_a_redirect_from_there_is_not_followed(
    people: People, llm: ScriptedLLMServer
) -> None:
    llm.script([finish("done")], marker="the allowed way")
    allowed = rest(people, people.create("ada", "the allowed way"))
    assert state_of(allowed) == "finished"

    with inner_server() as url:
        headers = {"Location": f"{url}/chat/completions"}
        llm.script([error(307, headers=headers)], marker="the way round")
        assert_told_plainly(rest(people, people.create("ada", "the way round")))
        asked = [turn for turn in llm.turns if "the way round" in turn.messages_text]
        assert len(asked) == 1, "it is not tried again"


def test_an_address_that_was_stored_earlier_is_refused_when_it_is_used(people: People) -> None:
    """As it is where the operator has taken an entry out of LLM_BASE_URL_ALLOW."""
    change = "UserSettings.objects.filter(user__username='ada').update(llm_base_url={!r})"
    found = "from settings_app.models import UserSettings; "
    before = people.call("ada", "GET", "/api/settings")[1]["llm_base_url"]
    with inner_server() as url:
        people.python(found + change.format(url))
        try:
            assert_told_plainly(rest(people, people.create("ada", "the way that was closed")))
        finally:
            people.python(found + change.format(before))


def test_a_users_model_is_sent_nothing_of_the_operators(
    people: People, llm: ScriptedLLMServer
) -> None:
    before = people.call("bob", "GET", "/api/settings")[1]["llm_model"]
    try:
        for model in ("openai/scripted", "watsonx/scripted"):
            assert people.call("bob", "POST", "/api/settings", {"llm_model": model})[0] == 200
            marker = f"[to {model}]"
            llm.script([finish("done")], marker=marker)
            rest(people, people.create("bob", f"Say it. {marker}"), name="bob")
    finally:
        assert people.call("bob", "POST", "/api/settings", {"llm_model": before})[0] == 200
    sent = "".join(str(request.headers) for request in llm.requests)
    assert "authorization" in sent
    assert OPERATORS_OWN not in sent
