"""Whose word counts for where a request comes from."""

from __future__ import annotations

from typing import Any

import pytest

from project.proxies import TrustedProxies, network_parse

PROXY = "10.0.0.1"
ENTRIES = ("10.0.0.0/24", "192.0.2.7", "fd00::/8")
Lines = list[tuple[str, str]]


async def seen(
    peer: str | None, lines: Lines, *, kind: str = "http", entries: tuple[str, ...] = ENTRIES
) -> tuple[str | None, str]:
    """Give the client and the scheme that an application sees behind the proxies."""
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scope = {
        "type": kind,
        "client": (peer, 4711) if peer else None,
        "scheme": "http" if kind == "http" else "ws",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in lines],
    }
    proxies = TrustedProxies(application, networks=[network_parse(entry) for entry in entries])
    await proxies(scope, nothing, nothing)
    assert scope["client"] == ((peer, 4711) if peer else None), "the server's own scope stays"
    client = scopes[0]["client"]
    return client and client[0], scopes[0]["scheme"]


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.0.1.1", "2001:db8::1", "unix", "", None])
async def test_what_anybody_else_says_counts_for_nothing(peer: str | None) -> None:
    lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]
    assert await seen(peer, lines) == (peer or None, "http")


async def test_without_proxies_the_headers_count_for_nothing() -> None:
    lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]
    assert await seen("127.0.0.1", lines, entries=()) == ("127.0.0.1", "http")


@pytest.mark.parametrize("peer", [PROXY, "192.0.2.7", "fd00::5", f"::ffff:{PROXY}"])
async def test_a_proxy_is_believed_in_every_spelling(peer: str) -> None:
    assert (await seen(peer, [("x-forwarded-for", "198.51.100.1")]))[0] == "198.51.100.1"


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["203.0.113.66, 198.51.100.1"], "198.51.100.1"),
        (["203.0.113.66", "198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, 10.0.0.2, 192.0.2.7"], "198.51.100.1"),
        (["198.51.100.1", "10.0.0.2,192.0.2.7"], "198.51.100.1"),
        (["203.0.113.66, 198.51.100.1, fd00::1"], "198.51.100.1"),
        (["garbage, 198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1:5678"], "198.51.100.1"),
        (["[2001:db8::9]:80"], "2001:db8::9"),
        (["[2001:DB8:0::9]"], "2001:db8::9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1 ,\t::ffff:10.0.0.2 "], "198.51.100.1"),
    ],
)
async def test_the_client_is_the_last_hop_that_is_no_proxy(hops: list[str], client: str) -> None:
    assert (await seen(PROXY, [("x-forwarded-for", hop) for hop in hops]))[0] == client


@pytest.mark.parametrize(
    "hop",
    [
        *("", ",", "garbage", "unknown", "_hidden", "198.51.100.1, garbage", "198.51.100.1, "),
        *(
            "198.51.100",
            "0x7f.1",
            "010.1.1.1",
            "1.2.3.4:5:6",
            "[::1",
            "[::1]x",
            "fe80::1%eth0",
            "\xff" * 9,
        ),
        *("198.51.100.1/32", "'1.2.3.4'", "1" * 5_000, "10.0.0.2", "10.0.0.2, 10.0.0.3"),
    ],
)
async def test_where_nothing_else_is_understood_the_proxy_is_the_client(hop: str) -> None:
    assert (await seen(PROXY, [("x-forwarded-for", hop)]))[0] == PROXY


@pytest.mark.parametrize(
    ("protos", "scheme"),
    [
        (["https"], "https"),
        (["HTTPS "], "https"),
        (["http"], "http"),
        ([], "http"),
        ([""], "http"),
        (["wss"], "http"),
        (["javascript"], "http"),
        (["https,http"], "http"),
        (["https", "https"], "http"),
        (["\xff"], "http"),
    ],
)
async def test_the_scheme_is_what_one_header_says(protos: list[str], scheme: str) -> None:
    lines = [("X-Forwarded-Proto", proto) for proto in protos]
    assert (await seen(PROXY, lines))[1] == scheme
    sockets = {"http": "ws", "https": "wss"}
    assert (await seen(PROXY, lines, kind="websocket"))[1] == sockets[scheme]
