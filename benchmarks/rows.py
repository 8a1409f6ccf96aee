"""The lines of the table: each request of the product and, beside it, its floors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from benchmarks.load import Request, fetch
from benchmarks.measures import Http, InProcess, Row
from benchmarks.profiles import ask_in_process
from benchmarks.seeding import deepest_key
from benchmarks.servers import Process
from benchmarks.sizes import EVENTS_PAGE, PAGE, Sizes
from benchmarks.statements import Fresh, replay, statements_of
from conversations.api.pagination import page_id
from conversations.events.codec import user_message
from conversations.services.event_log import event_append

#: The columns of the table, by the key of a row's subject.
PRODUCT: Final = "Handrail"
DRF: Final = "bare DRF view"
ASGI: Final = "bare ASGI answer"
SQL: Final = "bare SQL"
COLUMNS: Final = (PRODUCT, DRF, ASGI, SQL)
DETAIL: Final = "detail"
PATCH: Final = "PATCH a title"
CREATE: Final = "create"
APPEND: Final = "append a message, in process"
_MESSAGE: Final = "Please mend the test that fails, and say what was wrong with it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Who answers: the product once for each size, its floors once."""

    products: dict[str, Process]
    asgi: Process
    drf: Process

    @property
    def product(self) -> Process:
        """The one that has most."""
        return self.products["large"]

    def row(
        self,
        name: str,
        request: Request,
        bare: Request,
        *,
        alias: str = "large",
        same_answer: bool = False,
        fresh: Callable[[bytes], Fresh] | None = None,
    ) -> Row:
        """Give a line. Raises AssertionError where the bare view should answer the same, and not.

        `fresh` reads from the product's answer which of its values can be stored but once.
        """
        port = self.products[alias].port
        answer = fetch(port, request)
        if same_answer and json.loads(answer) != json.loads(fetch(self.drf.port, bare)):
            msg = f"{name}: the bare view answers something else"
            raise AssertionError(msg)
        copied = self.answer_copy(name, request, answer)
        ask_in_process(Request("GET", "/api/conversations"))  # the user is remembered from now on
        answers: list[bytes] = []
        statements = statements_of(lambda: answers.append(ask_in_process(request)))
        again = replay(
            statements,
            alias="default" if alias == "large" else alias,
            fresh=fresh(answers[0]) if fresh else None,
        )
        return Row(
            name=name,
            subjects={
                PRODUCT: Http(port, (request,)),
                DRF: Http(self.drf.port, (bare,)),
                ASGI: Http(self.asgi.port, (copied,)),
                SQL: InProcess(again),
            },
        )

    def answer_copy(self, name: str, request: Request, answer: bytes) -> Request:
        """Have the bare ASGI application answer the same bytes; give the request for them."""
        path = "/" + "".join(character for character in name if character.isalnum())
        fetch(self.asgi.port, Request("PUT", path, answer))
        return Request(request.method, path, request.body)


def list_name(number: int, page: str) -> str:
    """Name the line of a page of the list."""
    return f"list of {PAGE}, {number:,} stored, {page}"


def first_page(sizes: Sizes, alias: str) -> str:
    """Name the first page at a size."""
    return list_name(sizes.stored[alias], "first page")


def deepest_page(sizes: Sizes, alias: str) -> str:
    """Name the deepest full page at a size."""
    return list_name(sizes.stored[alias], f"page {sizes.stored[alias] // PAGE:,} (the deepest)")


def list_rows(servers: Servers, sizes: Sizes) -> list[Row]:
    """Give the first page and the deepest full one, at each size."""
    rows = []
    for alias in sizes.stored:
        path, bare = f"/api/conversations?limit={PAGE}", f"/bare/{alias}/list"
        at, conversation_id = deepest_key(alias)
        place = urlencode({"at": at.isoformat(), "id": conversation_id.hex})
        pages = {
            first_page(sizes, alias): (path, bare),
            deepest_page(sizes, alias): (
                f"{path}&page_id={page_id((at, conversation_id))}",
                f"{bare}?{place}",
            ),
        }
        rows += [
            servers.row(
                name, Request("GET", one), Request("GET", other), alias=alias, same_answer=True
            )
            for name, (one, other) in pages.items()
        ]
    return rows


def one_row_rows(servers: Servers, conversation_id: UUID) -> list[Row]:
    """Give detail and PATCH of one conversation."""
    path, bare = f"/api/conversations/{conversation_id.hex}", f"/bare/detail/{conversation_id.hex}"
    title = json.dumps({"title": "A title that was given by hand"}).encode()
    return [
        servers.row(DETAIL, Request("GET", path), Request("GET", bare), same_answer=True),
        servers.row(PATCH, Request("PATCH", path, title), Request("PATCH", bare, title)),
    ]


def create_row(servers: Servers) -> Row:
    """Give create without a message: none runs beside it, and the DRF view is an empty one."""

    def fresh(answer: bytes) -> Fresh:
        made = UUID(json.loads(answer)["conversation_id"])
        return {made: uuid4, made.hex: lambda: uuid4().hex}

    return servers.row(
        CREATE,
        Request("POST", "/api/conversations", b"{}"),
        Request("POST", "/bare/create", b"{}"),
        fresh=fresh,
    )


def append_row(mine: UUID, bare: UUID) -> Row:
    """Give the append of a user's message to one log, and its SQL on another one."""
    append = partial(event_append, events=[user_message(_MESSAGE)])
    # It counts by itself: sent again, it stores the next event.
    again = replay(statements_of(lambda: append(conversation_id=bare)))
    return Row(
        name=APPEND,
        subjects={
            PRODUCT: InProcess(partial(append, conversation_id=mine)),
            SQL: InProcess(again),
        },
    )


def trajectory_name(sizes: Sizes) -> str:
    """Name the line of a whole log."""
    return f"trajectory of {sizes.events:,} events"


def log_rows(servers: Servers, sizes: Sizes, conversation_id: UUID) -> list[Row]:
    """Give the reading of a whole log, at once and by pages."""
    path = f"/api/conversations/{conversation_id.hex}"
    whole = servers.row(
        trajectory_name(sizes),
        Request("GET", f"{path}/trajectory"),
        Request("GET", f"/bare/trajectory/{conversation_id.hex}"),
    )
    starts = range(0, sizes.events, EVENTS_PAGE)
    asked = [
        Request("GET", f"{path}/events?start_id={start}&limit={EVENTS_PAGE}") for start in starts
    ]
    bare = [
        Request("GET", f"/bare/events/{conversation_id.hex}?start_id={start}") for start in starts
    ]
    name = f"{sizes.events:,} events, {EVENTS_PAGE} a page; a second: pages"
    copied = servers.answer_copy(name, asked[0], fetch(servers.product.port, asked[0]))

    def read_all() -> None:
        for request in asked:
            ask_in_process(request)

    pages = Row(
        name=name,
        subjects={
            PRODUCT: Http(servers.product.port, tuple(asked), loaded=(asked[0],)),
            DRF: Http(servers.drf.port, tuple(bare), loaded=(bare[0],)),
            ASGI: Http(servers.asgi.port, (copied,) * len(asked), loaded=(copied,)),
            SQL: InProcess(replay(statements_of(read_all))),
        },
    )
    return [whole, pages]
