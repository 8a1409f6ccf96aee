"""The API's document in accounts mode: who may ask, and that nobody else may read it."""

from __future__ import annotations

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.accounts.people import People


def test_with_accounts_it_says_how_to_log_in_and_asks_for_it(people: People) -> None:
    status, document = people.call("ada", "GET", "/api/schema/")
    assert status == 200
    assert set(document["components"]["securitySchemes"]) == {"token", "session"}
    assert document["security"] == [{"token": []}, {"session": []}]
    OpenAPIV31SpecValidator(document).validate()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert "401" in operation["responses"], (method, path)
    assert people.call("", "GET", "/api/schema/")[0] == 401
    status, headers, _ = people.fetch("GET", "/api/docs/")
    assert status == 302
    assert ("location", "/login?next=/api/docs/") in headers
