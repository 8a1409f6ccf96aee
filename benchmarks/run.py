"""One kind of database from empty tables to its part of the report: fill, start, measure, end."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import connection

from benchmarks.load import Request, fetch
from benchmarks.measures import Http, Measured, Ratio, Row, measure, ratio
from benchmarks.profiles import largest_costs
from benchmarks.report import Idle, Section
from benchmarks.rows import (
    APPEND,
    CREATE,
    DETAIL,
    DRF,
    PRODUCT,
    SQL,
    Servers,
    append_row,
    create_row,
    deepest_page,
    first_page,
    list_rows,
    log_rows,
    one_row_rows,
)
from benchmarks.scale import Scale
from benchmarks.seeding import conversations_seed, log_seed, some_conversations
from benchmarks.servers import Process
from benchmarks.sizes import Sizes
from benchmarks.waiting import waiting_measure, wake_ups
from benchmarks.writers import appends_measure

#: Targets: over the bare DRF view, over the time at the smallest size, over SQL and an empty view.
OVER_DRF = 1.5
OVER_SMALL = 1.3
OVER_CREATE = 3.0


def _say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def _product(environments: dict[str, dict[str, str]], alias: str) -> Process:
    return Process(
        ["-m", "benchmarks.watched_server", "serve", "--port", "{port}"], environments[alias]
    )


@contextmanager
def _started(environments: dict[str, dict[str, str]]) -> Iterator[Servers]:
    """Start all servers at once; all have ended afterwards."""
    with ExitStack() as stack:
        bare = environments["large"] | {"DJANGO_SETTINGS_MODULE": "benchmarks.settings"}
        started = [
            *(_product(environments, alias) for alias in environments),
            Process(["-m", "benchmarks.floors", "asgi", "{port}"], bare),
            Process(["-m", "benchmarks.floors", "drf", "{port}"], bare),
        ]
        for process in started:
            stack.callback(process.stop)
        for process in started:
            process.wait_until_up()
        *products, asgi, drf = started
        yield Servers(products=dict(zip(environments, products, strict=True)), asgi=asgi, drf=drf)


def _seed(sizes: Sizes) -> float:
    """Fill all databases; give the seconds that the largest took."""
    took = 0.0
    for alias, number in sizes.stored.items():
        start = time.perf_counter()
        conversations_seed("default" if alias == "large" else alias, number)
        took = time.perf_counter() - start
        _say(f"{number:,} conversations stored in {took:.1f} s")
    return took


def _idle(servers: Servers, sizes: Sizes, at_start: Idle) -> list[Idle]:
    """Create conversations that rest, and see what the server holds for them."""
    server = servers.product
    server.wait_until_at_rest(sizes.settle_seconds)
    before = Idle("idle, after all of the above", server.footprint(looks=sizes.looks))
    for _ in range(sizes.idle):
        fetch(server.port, Request("POST", "/api/conversations", b"{}"))
    server.wait_until_at_rest(sizes.settle_seconds)
    after = Idle(
        f"with {sizes.idle:,} idle conversations more", server.footprint(looks=sizes.looks)
    )
    return [at_start, before, after]


def _ratios(measured: Measured, sizes: Sizes) -> list[tuple[Ratio, str]]:
    """Give every ratio and the line whose request it is about."""
    found = []
    for name, row in measured.items():
        if name == CREATE:
            parts, target, over = [row[SQL], row[DRF]], OVER_CREATE, "its SQL and an empty DRF view"
        elif name == APPEND:
            parts, target, over = [row[SQL]], None, "its bare SQL"
        else:
            target = OVER_DRF if name == DETAIL or name.startswith("list") else None
            parts, over = [row[DRF]], "the bare DRF view"
        found.append((ratio(f"{name} ÷ {over}", row[PRODUCT], parts, target), name))
    smallest = first_page(sizes, "small")
    for page in (first_page(sizes, "large"), deepest_page(sizes, "large")):
        above, below = measured[page][PRODUCT], measured[smallest][PRODUCT]
        found.append(
            (ratio(f"{page} ÷ at {sizes.stored['small']:,}", above, [below], OVER_SMALL), page)
        )
    return found


def _profiles(unmet: list[str], rows: list[Row], sizes: Sizes) -> dict[str, list[str]]:
    """Profile the request of each line that has not met a target."""
    subjects = {row.name: row.subjects[PRODUCT] for row in rows}
    profiles = {}
    for name in unmet:
        subject = subjects[name]
        assert isinstance(subject, Http)
        profiles[name] = largest_costs(subject.requests[0], sizes.profiled)
    return profiles


def _database_name() -> str:
    if connection.vendor == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return f"PostgreSQL {cursor.fetchone()[0].split()[0]}"


def _scale(sizes: Sizes, environments: dict[str, dict[str, str]]) -> Scale:
    """Measure what grows: writers, sockets and loops."""
    _say("measuring appends of many writers, and how soon a socket hears of one")
    server = _product(environments, "large")
    try:
        server.wait_until_up()
        # While a server hears of all of them.
        appends = [appends_measure(some_conversations(many), sizes) for many in sizes.writers]
        [append_id] = some_conversations(1)
        wakes = wake_ups(server, append_id, sizes.wake_ups)
    finally:
        server.stop()
    _say("measuring loops that wait for their LLM")
    return Scale(
        on_postgresql=connection.vendor == "postgresql",
        appends=appends,
        wake_ups=wakes,
        waiting=waiting_measure(environments["small"], sizes),
    )


def scale_make(sizes: Sizes, environments: dict[str, dict[str, str]]) -> str:
    """Measure only what grows; give its tables."""
    _seed(sizes)
    parts = [f"## {_database_name()}", *_scale(sizes, environments).parts()]
    return "\n\n".join(parts)


def section_make(sizes: Sizes, environments: dict[str, dict[str, str]]) -> Section:
    """Fill, start, measure, end; give this database's part of the report."""
    seeding_seconds = _seed(sizes)
    log_id, detail_id, append_id, bare_id = some_conversations(4)
    log_seed(log_id, sizes.events)
    rows: list[Row] = []
    measured: Measured = {}

    def take(name: str, group: list[Row]) -> None:
        _say(f"measuring {name}")
        rows.extend(group)
        measured.update(measure(group, sizes))

    with _started(environments) as servers:
        server = servers.product
        for process in servers.products.values():
            process.wait_until_at_rest(sizes.settle_seconds)
        at_start = Idle("idle, after the start", server.footprint(looks=sizes.looks))
        key = json.dumps({"llm_model": "openai/none", "llm_api_key": "sk-benchmark-0123456789"})
        fetch(server.port, Request("POST", "/api/settings", key.encode()))
        take("the list", list_rows(servers, sizes))
        for alias in list(servers.products)[:-1]:
            servers.products[alias].stop()
        take("detail and PATCH", one_row_rows(servers, detail_id))
        take("create", [create_row(servers)])
        take("append", [append_row(append_id, bare_id)])
        take("logs", log_rows(servers, sizes, log_id))
        _say("measuring what idle conversations cost")
        idle = _idle(servers, sizes, at_start)
    scale = _scale(sizes, environments)
    ratios = _ratios(measured, sizes)
    unmet = list(dict.fromkeys(name for one, name in ratios if not one.met))
    return Section(
        database=_database_name(),
        seeding=f"{sizes.stored['large']:,} conversations were stored in {seeding_seconds:.0f} s.",
        measured=measured,
        ratios=[one for one, _ in ratios],
        idle=idle,
        scale=scale,
        profiles=_profiles(unmet, rows, sizes),
    )
