"""Which addresses users may name: public ones, and what the operator has allowed."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Protocol
from urllib.parse import urlsplit

from outbound.addresses import Address, Network, address_of, host_plain, is_public, unwrapped

_PORT_OF_SCHEME: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65535
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.ASCII)

INSIDE: Final = (
    "the address lies in this server's own network, which users may not reach; "
    "take a public one, or ask the operator to name it in LLM_BASE_URL_ALLOW"
)
PROXIED: Final = (
    "this server reaches the net through a proxy, so where a base URL leads cannot be checked; "
    "ask the operator to name its host in LLM_BASE_URL_ALLOW"
)
URL_IN_MODEL: Final = (
    "the model's name holds an address; put the address into the base URL, where it is checked"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What one entry of LLM_BASE_URL_ALLOW allows: a name or a network, on one port or on all."""

    name: str = ""
    network: Network | None = None
    port: int | None = None

    def __str__(self) -> str:
        """Give it as it may be written."""
        if self.port is None or self.network is None:
            place = self.name or str(self.network)
            return place if self.port is None else f"{place}:{self.port}"
        # A port goes with one address only.
        address = self.network.network_address
        return f"[{address}]:{self.port}" if address.version > 4 else f"{address}:{self.port}"  # noqa: PLR2004  # IPv4

    def names(self, host: str, port: int) -> bool:
        """Whether it is an entry for this name."""
        return bool(self.name) and self.name == host and self.port in (None, port)

    def holds(self, address: Address, port: int) -> bool:
        """Whether it is an entry for a network with this address."""
        return self.network is not None and address in self.network and self.port in (None, port)


def allowed_parse(entry: str) -> Allowed:
    """Read one entry: name, name:port, address, address:port or network. Raises ValueError."""
    if "://" in entry or "@" in entry:
        msg = "write a host name, host:port, an address or a network, not a URL"
        raise ValueError(msg)
    if "/" in entry:
        return Allowed(network=_network(entry))
    host, port = _split(entry)
    if (address := address_of(host)) is not None:
        return Allowed(network=ip_network(address), port=port)
    if not _NAME.fullmatch(host_plain(host)):
        msg = "it is no host name, address or network"
        raise ValueError(msg)
    return Allowed(name=host_plain(host), port=port)


def _network(entry: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(entry)
    except ValueError as error:
        msg = f"it is no network such as 10.0.0.0/8 ({error})"
        raise ValueError(msg) from None


def _split(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        digits = rest.removeprefix(":") if rest else ""
        has_port = bool(rest)
    elif entry.count(":") == 1:
        host, _, digits = entry.partition(":")
        has_port = True
    else:  # an IPv6 address without brackets has no port
        host, digits, has_port = entry, "", False
    if not has_port:
        return host, None
    if not re.fullmatch(r"\d{1,5}", digits, re.ASCII) or not 1 <= int(digits) <= _HIGHEST_PORT:
        msg = "the port must be a number from 1 to 65535"
        raise ValueError(msg)
    return host, int(digits)


class Resolver(Protocol):
    """Gives the addresses of a name, none where it has none."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Ask now; may raise OSError or UnicodeError."""


#: Of their own: names that nobody answers for would take the threads that others need.
_RESOLVERS: Final = ThreadPoolExecutor(16, thread_name_prefix="resolve")
_RESOLVE_SECONDS: Final = 10.0


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask what every client on this machine asks. Raises TimeoutError after ten seconds."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(_RESOLVE_SECONDS):
        found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, ask)
    return [str(entry[4][0]) for entry in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundPolicy:
    """What is refused to users. The operator's own LLM_BASE_URL counts as allowed."""

    allowed: Sequence[Allowed] = ()
    #: Connections go to a proxy of the environment, which then connects where we do not see it.
    proxied: bool = False

    def permits(self, address: Address, port: int) -> bool:
        """Whether a connection may go to an address."""
        address = unwrapped(address)
        return any(entry.holds(address, port) for entry in self.allowed) or is_public(address)

    def allows(self, host: str, port: int) -> bool:
        """Whether the operator has allowed what a URL names: a name, or an address."""
        address = address_of(host)
        if address is not None:
            return any(entry.holds(address, port) for entry in self.allowed)
        return any(entry.names(host_plain(host), port) for entry in self.allowed)

    def refusal(self, url: str) -> str:
        """Say why a URL is refused by its text alone, "" where it is not. No name is resolved.

        What a name resolves to may change at any time: that is checked at each connection.
        """
        host, port = host_and_port(url)
        if not host or self.allows(host, port):
            return ""
        if self.proxied:
            return PROXIED
        address = address_of(host)
        if address is not None:
            return "" if self.permits(address, port) else INSIDE
        return INSIDE if host == "localhost" or host.endswith(".localhost") else ""


def policy_make(*, allowed: Iterable[Allowed], trusted_url: str, proxied: bool) -> OutboundPolicy:
    """Make the policy of a deployment; `trusted_url` is the operator's own."""
    host, port = host_and_port(trusted_url)
    address = address_of(host) if host else None
    own = [Allowed(network=ip_network(address), port=port)] if address else []
    if host and address is None:
        own = [Allowed(name=host, port=port)]
    return OutboundPolicy(allowed=(*allowed, *own), proxied=proxied)


def host_and_port(url: str) -> tuple[str, int]:
    """Give a URL's host in its plain spelling and its port; "" where it names none."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port or _PORT_OF_SCHEME.get(parts.scheme, 0)
    except ValueError:
        return "", 0
    return host_plain(parts.hostname or ""), port
