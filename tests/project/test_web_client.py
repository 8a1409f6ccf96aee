"""What is served at `/`: a built web client with its rules of caching, or a page of our own."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.serving import CALM, Server

INDEX = "<!doctype html><title>The client</title>"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server with a built client: a page, a hashed asset, a translation."""
    build = tmp_path_factory.mktemp("build")
    (build / "assets").mkdir()
    (build / "locales" / "en").mkdir(parents=True)
    (build / "index.html").write_text(INDEX)
    (build / "assets" / "index-BdH7x2.js").write_text("run()")
    (build / "locales" / "en" / "translation.json").write_text('{"hello": "Hello"}')
    (tmp_path_factory.getbasetemp() / "outside.txt").write_text("outside")
    folder = tmp_path_factory.mktemp("client-server")
    server = Server(folder, entry=CALM, WEB_CLIENT_DIR=str(build))
    server.start()
    yield server
    server.stop()


def get(server: Server, path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    headers = {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return response.status, headers, body


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/settings", "/settings/billing", "/conversations/0a", "/conversations/0a/browser"),
        *("/apix", "/no/such.page", "/%00", "/..%2f..%2foutside.txt", "/index", "/admin-not"),
    ],
)
def test_every_page_is_the_client_and_is_not_cached(client: Server, path: str) -> None:
    status, headers, body = get(client, path)
    assert (status, body) == (200, INDEX)
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"].startswith("text/html")
    assert get(client, path, "HEAD")[0] == 200


def test_hashed_assets_are_cached_for_ever_and_the_rest_is_not(client: Server) -> None:
    status, headers, body = get(client, "/assets/index-BdH7x2.js")
    assert (status, body) == (200, "run()")
    assert "immutable" in headers["cache-control"]
    assert "javascript" in headers["content-type"]
    assert "access-control-allow-origin" not in headers
    status, headers, body = get(client, "/locales/en/translation.json")
    assert (status, body) == (200, '{"hello": "Hello"}')
    assert "max-age=0" in headers["cache-control"]
    assert get(client, "/index.html")[2] == INDEX


def test_a_missing_asset_is_missing(client: Server) -> None:
    assert get(client, "/assets/index-old.js")[0] == 404


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/options/nothing"])
def test_the_api_keeps_its_answers(client: Server, path: str) -> None:
    status, headers, _ = get(client, path)
    assert status == 404
    assert headers["content-type"] == "application/json"


def test_pages_are_only_read(client: Server) -> None:
    assert get(client, "/settings", "POST")[0] in {403, 405}
    assert get(client, "/health")[2] == '"OK"'


def test_without_a_client_there_is_a_page_of_our_own(server: Server) -> None:
    conversation_id = server.create("")
    server.ok("PATCH", f"/api/conversations/{conversation_id}", {"title": "<b>bold</b>"})
    status, headers, body = get(server, "/")
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert "Handrail" in body
    assert 'href="/api/docs/"' in body
    assert "<b>" not in body
    assert get(server, "/settings")[0] == 404
    assert get(server, "/", "POST")[0] in {403, 405}
