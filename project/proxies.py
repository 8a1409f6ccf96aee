"""Who asks, and by which scheme, where proxies stand in front. It knows no app, user or path."""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Scope, Receive, Send], Awaitable[None]]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
#: Some proxies write the port of the client as well, and IPv6 as in an address of the web.
_WITH_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+", re.ASCII)
#: What a proxy may say, and what it means for a request and for a socket.
_SCHEMES: Final = {
    "http": {"http": "http", "websocket": "ws"},
    "https": {"http": "https", "websocket": "wss"},
}


#: Bits of the widest network that may be named, by the version of IP.
_WIDEST: Final = {4: 8, 6: 7}


def network_parse(entry: str) -> Network:
    """Read an address or a network of proxies. Raises ValueError, which says what is wrong."""
    try:
        network = ip_network(entry)
    except ValueError as error:
        msg = f"it is no address and no network ({error})"
        raise ValueError(msg) from error
    if network.prefixlen < _WIDEST[network.version]:
        msg = "it means nearly everybody, and everybody could then forge addresses"
        raise ValueError(msg)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        msg = "write it as an IPv4 address or network, for so the proxy is seen"
        raise ValueError(msg)
    return network


class TrustedProxies:
    """Takes the word of these proxies, and nobody else's, for where a request comes from.

    Each proxy adds to X-Forwarded-For whom it has heard the request from. So the list is read from
    its end, for as long as it names proxies of ours: what stands before them, anybody may have
    written.
    """

    def __init__(self, app: Application, *, networks: Sequence[Network]) -> None:
        self._app = app
        self._networks = tuple(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] in ("http", "websocket") and self._networks and scope.get("client"):
            scope = {**scope, **self._said(scope)}
        await self._app(scope, receive, send)

    def _said(self, scope: Scope) -> Scope:
        """Give what a proxy of ours says; nothing where it is none, or is not understood."""
        peer = _address(scope["client"][0])
        said: Scope = {}
        if peer is None or not self._trusts(peer):
            return said
        client = self._client(_values(scope, _FOR))
        if client is not None:
            said["client"] = (str(client), 0)
        protos = _values(scope, _PROTO)
        # More than one: somebody in between has not replaced what came in.
        if len(protos) == 1 and (schemes := _SCHEMES.get(protos[0].lower())):
            said["scheme"] = schemes[scope["type"]]
        return said

    def _client(self, hops: Sequence[str]) -> Address | None:
        for hop in reversed(hops):
            address = _address(_without_port(hop))
            if address is None or not self._trusts(address):
                return address
        return None

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _values(scope: Scope, name: bytes) -> list[str]:
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return [part.strip() for line in lines for part in line.split(",")]


def _without_port(hop: str) -> str:
    match = _WITH_PORT.fullmatch(hop)
    return match[1] or match[2] if match else hop


def _address(text: str) -> Address | None:
    """Read an address; one without a zone, which names a network card and no client."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address
