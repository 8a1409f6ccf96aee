"""What an internet address is, in every spelling, and whether it is public. Nothing is resolved."""

from __future__ import annotations

import re
import socket
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Not public, whatever a version of Python's own table says.
_CLOSED_IPV4: Final = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    # Azure's host answers its guests here; it is of a public range.
    IPv4Network("168.63.129.16/32"),
)
_UNICAST_IPV6: Final = IPv6Network("2000::/3")
_CLOSED_IPV6: Final = (
    # Teredo and its neighbours, documentation, 6to4: the last wraps any IPv4 address.
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)
#: A gateway turns these into the IPv4 address of their last four bytes.
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Addresses for documentation: no machine has them.
_NOBODYS: Final[dict[int, Address]] = {
    4: IPv4Address("192.0.2.1"),
    6: IPv6Address("2001:db8::1"),
}
#: What the C library's resolver takes for IPv4: one to four numbers, decimal, octal or hexadecimal.
_NUMBERS: Final = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}", re.ASCII)
#: NFKC makes full stops of the full-width ones, but not of the ideographic one.
_IDEOGRAPHIC_STOP: Final = "\u3002"


def host_plain(host: str) -> str:
    """Bring a host into one spelling: lower case, without brackets, dots at its end, odd digits."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace(_IDEOGRAPHIC_STOP, ".")
    return plain.strip().lower().strip("[]").rstrip(".")


def address_of(host: str) -> Address | None:
    """Give the address that `host` spells; None where it is a name."""
    plain = host_plain(host).partition("%")[0]
    try:
        return unwrapped(ip_address(plain))
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(plain):
        return None
    try:
        return IPv4Address(socket.inet_aton(plain))
    except OSError:
        return None


def unwrapped(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 one only wraps (mapped, NAT64); else the address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet at large, and not one of this machine's own."""
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        open_to_all = (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in _CLOSED_IPV4)
        )
    else:
        open_to_all = address in _UNICAST_IPV6 and not any(
            address in network for network in _CLOSED_IPV6
        )
    return open_to_all and not _is_of_this_machine(address)


def _is_of_this_machine(address: Address) -> bool:
    # Behind its own public address stands everything that a firewall keeps from others.
    return _binds(address) and not _binds(_NOBODYS[address.version])


def _binds(address: Address) -> bool:
    """Whether the kernel binds to an address: to its own, or to any where it is so configured."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
