"""DELETE: gone at once for everybody; sandbox, workspace and rows follow, whatever runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.processes import processes_with
from tests.scripted_llm import ScriptedLLMServer, calls, finish, run
from tests.serving import Client, Server, is_state
from tests.waiting import until, until_true

URL = "/api/conversations"


def test_delete_hides_at_once_and_clears_away(server: Server, llm: ScriptedLLMServer) -> None:
    llm.script([calls(run("echo x > file")), calls(finish("Done."))], marker="[clear]")
    conversation_id = server.create("Write a file. [clear]")
    server.wait_for_rest(conversation_id)
    workspace = server.workspace(conversation_id)
    assert (workspace / "file").exists()
    path = f"{URL}/{conversation_id}"
    assert server.ok("DELETE", path) is True
    assert server.ok("GET", path) is None
    assert server.ok("DELETE", path) is False
    assert server.ok("PATCH", path, {"title": "x"}) is False
    listed = server.ok("GET", f"{URL}?limit=100")["results"]
    assert conversation_id not in {item["conversation_id"] for item in listed}
    for end in ("trajectory", "events"):
        assert server.call("GET", f"{path}/{end}") == (404, {"error": "Session not found"})
    until_true(lambda: not workspace.exists())


async def test_deleting_what_runs_answers_at_once_and_ends_it(
    server: Server, llm: ScriptedLLMServer
) -> None:
    nap = "sleep 70.70707"
    llm.script(lambda _: calls(run(f"touch begun; {nap}")), marker="[runs]")
    conversation_id = server.create("Sleep long. [runs]")
    workspace = server.workspace(conversation_id)
    async with Client(server, conversation_id) as client:
        await until(lambda: (workspace / "begun").exists() and bool(processes_with(nap)))
        assert server.ok("DELETE", f"{URL}/{conversation_id}") is True
        assert server.ok("GET", f"{URL}/{conversation_id}") is None
        await client.wait_for_state("stopped")
        assert "id" not in next(e for e in client.events[::-1] if is_state(e)), "it is not stored"
    await until(lambda: not processes_with(nap))
    await until(lambda: not workspace.exists())


def test_of_many_deletes_at_once_one_is_true(server: Server) -> None:
    times = 8
    conversation_id = server.create("")
    with ThreadPoolExecutor(times) as pool:
        answers = list(
            pool.map(lambda _: server.ok("DELETE", f"{URL}/{conversation_id}"), range(times))
        )
    assert sorted(answers) == [False] * (times - 1) + [True]
