"""The wall around one call: no connection of it leaves for an address that the policy forbids.

It stands where Python hands an address to the kernel: whatever library connects, by whatever name,
after whatever redirect, the address that is looked at is the one that is connected to. There it is
seen, too, whether the library would make everybody wait for it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final

from outbound.addresses import Address, address_of, unwrapped
from outbound.policy import INSIDE, PROXIED, OutboundPolicy, Resolver, host_and_port, system_resolve

#: Of the chain behind an error; libraries wrap one several times.
_MOST_LINKS: Final = 200
BLOCKING: Final = (
    "its provider's library would hold up this server while it waits; "
    "take the provider's OpenAI-compatible address, with openai/ before the model's name"
)


class ForbiddenAddressError(PermissionError):
    """A connection to an address that users may not reach."""


class OutboundCall:
    """What one call may reach, and whether it tried more.

    `policy` None lets every address through. No policy lets a library wait on an event loop's
    thread; with one it may not wait in a thread of a pool either: a few slow addresses that users
    name would take all threads there are.
    """

    def __init__(
        self, policy: OutboundPolicy | None, *, resolve: Resolver = system_resolve
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._admitted: frozenset[tuple[Address, int]] = frozenset()
        self._refusal = ""
        self._has_left = False

    @asynccontextmanager
    async def walled(self, base_url: str | None) -> AsyncIterator[None]:
        """Check the URL, then watch every connection until the block ends.

        Raises ForbiddenAddressError for the URL; for what the block tries, its library may wrap it.
        """
        _stand()
        if self._policy is not None and base_url:
            await self._look_up(self._policy, base_url)
        token = _CALL.set(self)
        try:
            yield
        finally:
            _CALL.reset(token)

    async def _look_up(self, policy: OutboundPolicy, base_url: str) -> None:
        """Refuse a name that leads inside before a kept connection could serve it."""
        host, port = host_and_port(base_url)
        if policy.proxied and not policy.allows(host, port):
            self._refuse(PROXIED)
        try:
            found = await self._resolve(host, port) if host else ()
        except TimeoutError:
            raise  # who asked would wait as long again
        except (OSError, UnicodeError):
            return  # what the call makes of it is told as of any name that does not exist
        addresses = {unwrapped(ip_address(text.partition("%")[0])) for text in found}
        if policy.allows(host, port):
            self._admitted = frozenset((address, port) for address in addresses)
        elif not all(policy.permits(address, port) for address in addresses):
            self._refuse(INSIDE)

    def check(self, address: object) -> None:
        """Raise ForbiddenAddressError unless a socket may connect to `address`."""
        if not isinstance(address, tuple):
            return
        if self._policy is not None:
            host, port = str(address[0]), int(address[1])
            target = address_of(host)
            # A name here would be resolved once more, unseen: no library of ours does it.
            if target is None or not (
                (target, port) in self._admitted or self._policy.permits(target, port)
            ):
                self._refuse(INSIDE)
        self._has_left = True

    def check_waiting(self) -> None:
        """Raise ForbiddenAddressError where this thread may not wait for the network."""
        if self._policy is not None or _runs_an_event_loop():
            raise ForbiddenAddressError(BLOCKING)

    def refusal_behind(self, error: Exception) -> str:
        """Give the refusal that made the call fail with `error`, "" where it failed otherwise.

        A library may ask for something aside, be refused, and go on: that explains nothing.
        """
        raised = _raised_by_the_wall(error)
        if raised is not None:
            return str(raised)
        return "" if self._has_left else self._refusal

    def _refuse(self, refusal: str) -> None:
        self._refusal = refusal
        raise ForbiddenAddressError(refusal)


def _raised_by_the_wall(error: BaseException) -> ForbiddenAddressError | None:
    links: list[BaseException | None] = [error]
    for _ in range(_MOST_LINKS):
        link = links.pop(0) if links else None
        if isinstance(link, ForbiddenAddressError):
            return link
        if link is not None:
            links += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions
    return None


def _runs_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_CALL: Final[ContextVar[OutboundCall | None]] = ContextVar("outbound_call", default=None)
_standing = threading.Event()
_building = threading.Lock()
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_EVENTS: Final = frozenset({"socket.connect", "socket.getaddrinfo"})


def _stand() -> None:
    """Build the wall once a process: an audit hook stays until the process ends."""
    with _building:
        if not _standing.is_set():
            sys.addaudithook(_hear)
            _standing.set()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every audited event of the process: the first line is what it costs.
    if event not in _EVENTS:
        return
    call = _CALL.get()
    if call is None:
        return
    if event == "socket.getaddrinfo":
        # Event loops ask in a thread of theirs, which knows no call.
        call.check_waiting()
    elif arguments[0].family in _FAMILIES:
        call.check(arguments[1])
        if arguments[0].gettimeout() != 0:
            call.check_waiting()
