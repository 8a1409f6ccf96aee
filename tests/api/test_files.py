"""A conversation's files over HTTP, and what else the web client asks of it."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from typing import Any

import pytest

from tests.secrets_search import TOKEN
from tests.serving import Server
from tests.waiting import DEADLINE_SECONDS, until_true

URL = "/api/conversations"


def recorded(server: Server, *commands: str) -> str:
    """Give a conversation whose agent has run these commands."""
    actions = [{"source": "agent", "action": "run", "args": {"command": c}} for c in commands]
    conversation_id = server.create("", replay_json=json.dumps(actions))
    server.wait_for_rest(conversation_id)
    return conversation_id


@pytest.fixture(scope="module")
def files(bare_server: Server) -> str:
    return recorded(
        bare_server,
        "mkdir -p src/pkg; echo 'print(1)' > src/main.py; echo größe > ä.txt",
        "printf '*.log\\n' > .gitignore; touch a.log; ln -s /etc/passwd out; ln -s ä.txt in",
        "printf '\\377' > binary; mkfifo pipe; ln -s / root",
    )


def raw(server: Server, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, body


def test_files_are_listed_read_and_packed(bare_server: Server, files: str) -> None:
    path = f"{URL}/{files}"
    listed = bare_server.ok("GET", f"{path}/list-files")
    assert listed[0] == "src/"
    assert {".gitignore", "ä.txt", "out"} <= set(listed)
    assert "a.log" not in listed
    below = bare_server.ok("GET", f"{path}/list-files?path=src/")
    assert below == ["src/pkg/", "src/main.py"]
    assert bare_server.ok("GET", f"{path}/list-files?path=") == listed
    assert bare_server.ok("GET", f"{path}/select-file?file=src/main.py") == {"code": "print(1)\n"}
    assert bare_server.ok("GET", f"{path}/select-file?file=%C3%A4.txt") == {"code": "größe\n"}
    status, headers, packed = raw(bare_server, f"{path}/zip-directory")
    assert (status, headers["content-type"]) == (200, "application/zip")
    assert "attachment" in headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = set(archive.namelist())
        assert archive.read("src/main.py") == b"print(1)\n"
    assert names == {"src/main.py", "ä.txt", ".gitignore", "a.log", "binary"}


@pytest.mark.parametrize(
    "file",
    [
        *("out", "in", "root/etc/passwd", "../x", "/etc/passwd", "pipe", "binary", "src", ""),
        *("none", "%00", "%2e%2e%2fx", "a/" * 1000, "src/../../x"),
    ],
)
def test_what_cannot_be_read_is_404_in_words(bare_server: Server, files: str, file: str) -> None:
    status, answer = bare_server.call("GET", f"{URL}/{files}/select-file?file={file}")
    assert status in {404, 422}
    text = answer["error"] if status == 404 else answer["message"]
    assert text
    assert "root:" not in text
    assert str(bare_server.data_dir) not in text


def test_a_question_without_a_file_is_422_and_a_wrong_folder_404(
    bare_server: Server, files: str
) -> None:
    assert bare_server.call("GET", f"{URL}/{files}/select-file")[0] == 422
    for folder in ("out", "root", "root/etc", "..", "/etc", "none", "src/main.py"):
        status, answer = bare_server.call("GET", f"{URL}/{files}/list-files?path={folder}")
        assert (status, list(answer)) == (404, ["error"])


def test_a_conversation_that_never_ran_has_no_files(bare_server: Server) -> None:
    conversation_id = bare_server.create("", replay_json=json.dumps([THOUGHT]))
    path = f"{URL}/{conversation_id}"
    bare_server.wait_for_rest(conversation_id)
    assert bare_server.ok("GET", f"{path}/list-files") == []
    status, _, packed = raw(bare_server, f"{path}/zip-directory")
    assert status == 200
    assert zipfile.ZipFile(io.BytesIO(packed)).namelist() == []


THOUGHT = {"source": "agent", "action": "think", "args": {"thought": "hm"}}


def test_the_clients_other_questions_have_answers(bare_server: Server, files: str) -> None:
    path = f"{URL}/{files}"
    assert bare_server.ok("GET", f"{path}/vscode-url") == {"vscode_url": None}
    assert bare_server.ok("GET", f"{path}/web-hosts") == {"hosts": {}}
    assert set(bare_server.ok("GET", f"{path}/config")) == {"runtime_id", "session_id"}


def test_feedback_is_kept_here(bare_server: Server) -> None:
    conversation_id = bare_server.create("", replay_json=json.dumps([THOUGHT]))
    path = f"{URL}/{conversation_id}/submit-feedback"
    given: dict[str, Any] = {
        "version": "1.0",
        "email": "somebody@example.org",
        "token": "",
        "polarity": "positive",
        "permissions": "private",
        "trajectory": [{"id": 1}],
    }
    answer = bare_server.ok("POST", path, given)
    assert answer["statusCode"] == 200
    assert set(answer["body"]) == {"message", "feedback_id", "password"}
    wrong: dict[str, Any]
    for wrong in ({"polarity": "so-so"}, {"polarity": 1}, {"email": "x" * 255}, {"version": []}):
        assert bare_server.call("POST", path, {**given, **wrong})[0] == 422
    assert bare_server.call("POST", path)[0] == 422
    assert bare_server.ok("DELETE", f"{URL}/{conversation_id}") is True
    assert bare_server.call("POST", path, given) == (404, {"error": "Session not found"})


def test_without_a_token_git_answers_as_the_client_expects(bare_server: Server) -> None:
    for name in (
        "info",
        "repositories?sort=pushed",
        "search/repositories?query=x",
        "installations",
    ):
        status, answer = bare_server.call("GET", f"/api/user/{name}")
        assert status == 401
        assert isinstance(answer, str)


def test_with_a_token_git_has_nothing_to_show(server: Server) -> None:
    server.ok("POST", "/api/settings", {"provider_tokens": {"github": TOKEN}})
    try:
        info = server.ok("GET", "/api/user/info")
        assert info["login"] == "local"
        assert isinstance(info["id"], int)
        assert server.ok("GET", "/api/user/repositories") == []
        assert server.ok("GET", "/api/settings")["provider_tokens_set"]["github"] is True
    finally:
        server.ok("POST", "/api/unset-settings-tokens")


def test_of_many_downloads_eight_are_made_and_places_come_back(bare_server: Server) -> None:
    """Clients that ask and do not read hold their places until they go."""
    conversation_id = recorded(bare_server, "head -c 30000000 /dev/urandom > noise")
    path = f"{URL}/{conversation_id}/zip-directory"
    idle = [http.client.HTTPConnection("127.0.0.1", bare_server.port) for _ in range(8)]
    for connection in idle:
        connection.request("GET", path)
        assert connection.getresponse().status == 200
    status, headers, body = raw(bare_server, path)
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert "downloads" in json.loads(body)["message"]
    assert bare_server.call("GET", "/health") == (200, "OK")
    for connection in idle:
        connection.close()
    until_true(lambda: raw(bare_server, path)[0] == 200)
    assert len(raw(bare_server, path)[2]) > 30_000_000
