"""The API's document and its page: whole, true to the routes, and all from this server."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.accounts.test_matrix import ROUTES
from tests.serving import Server

#: Addresses below /api/ that are no operations: the rest of a conversation's, and these two.
NOT_IN_IT = {
    "api/conversations/<id>/<rest>",
    "api/docs",
    "api/docs/",
    "api/schema",
    "api/schema/",
}


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    return server.ok("GET", "/api/schema/")


def parts(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk all objects of a document, each with its place."""
    if isinstance(node, dict):
        yield place, node
        for key, value in node.items():
            yield from parts(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from parts(value, f"{place}/{index}")


def operations(document: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_in_it(document: Any) -> None:
    written = {path.strip("/").replace("{conversation_id}", "<id>") for path in document["paths"]}
    assert written == {route for route in ROUTES if route.startswith("api/")} - NOT_IN_IT
    assert len(operations(document)) >= 29


def test_everything_in_it_is_described(document: Any) -> None:
    for name, operation in operations(document).items():
        assert operation["description"], name
        assert {"200", "400", "500"} <= set(operation["responses"]), name
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (name, parameter["name"])
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
    for place, node in parts(document["components"]):
        for name, field in (node.get("properties") or {}).items():
            assert "$ref" in field or field.get("description"), (place, name)


def test_it_tells_no_secret_and_no_example(document: Any) -> None:
    assert not [place for place, node in parts(document) if {"example", "examples"} & set(node)]


@pytest.mark.parametrize("path", ["/api/schema", "/api/schema/"])
def test_the_document_stands_at_both_addresses(server: Server, document: Any, path: str) -> None:
    assert server.ok("GET", path) == document


def fetch(server: Server, path: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    connection.close()
    return response.status, dict(response.getheaders()), text


@pytest.mark.parametrize("path", ["/api/docs", "/api/docs/"])
def test_the_page_takes_everything_from_this_server(server: Server, path: str) -> None:
    status, headers, page = fetch(server, path)
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r"https?:", policy)
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(wanted) == 3
    for address in wanted:
        assert not urlsplit(address).netloc
        status, headers, text = fetch(server, address)
        assert status == 200, address
        assert text
    # And once more: another visitor's page has another nonce.
    assert fetch(server, path)[2] != page
