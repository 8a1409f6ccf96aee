"""What the document allows, and what it does not, asked of a real server: never a 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.scripted_llm import ScriptedLLMServer
from tests.serving import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, llm: ScriptedLLMServer) -> Any:
    """Give a server of its own: whatever is asked of it, no other test minds."""
    made = Server(tmp_path_factory.mktemp("schema"))
    made.start()
    made.use_model(llm.base_url)
    yield made
    made.stop()


_document: Any = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
_found: Any = schemathesis.openapi.from_dict(_document).get_all_operations()
OPERATIONS = [one.ok() for one in _found]
#: What has neither a query nor a body cannot be asked wrongly: any id but a known one is unknown.
_ASKED_WRONGLY = [one for one in OPERATIONS if one.body or one.query]
_EXAMPLES = [15, pytest.param(300, marks=[pytest.mark.chaos, pytest.mark.timeout(900)])]


def _label(operation: Any) -> str:
    return str(operation.label)


def _ask(case: schemathesis.Case[Any], server: Server) -> None:
    case.call_and_validate(base_url=server.address, checks=CHECKS, timeout=20)
    if "conversation_id" in case.path_parameters:
        # And the same of a conversation that there is.
        case.path_parameters["conversation_id"] = _existing(server)
        case.call_and_validate(base_url=server.address, checks=CHECKS, timeout=20)


def _ask_often(operation: Any, mode: GenerationMode, server: Server, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        _ask(case, server)

    ask()


@pytest.mark.parametrize("examples", _EXAMPLES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=_label)
def test_what_the_document_allows_is_answered_as_it_says(
    operation: Any, server: Server, examples: int
) -> None:
    _ask_often(operation, GenerationMode.POSITIVE, server, examples)


@pytest.mark.parametrize("examples", _EXAMPLES)
@pytest.mark.parametrize("operation", _ASKED_WRONGLY, ids=_label)
def test_what_it_does_not_allow_is_too(operation: Any, server: Server, examples: int) -> None:
    _ask_often(operation, GenerationMode.NEGATIVE, server, examples)


def _existing(server: Server) -> str:
    """Give a conversation; a new one when the last one was deleted."""
    listed = server.ok("GET", "/api/conversations?limit=1")["results"]
    return str(listed[0]["conversation_id"]) if listed else server.create("")
