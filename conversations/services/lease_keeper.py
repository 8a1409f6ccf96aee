"""Renews this process's leases on a thread and a connection of its own. No loop's logic here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection

from conversations.agent.control import TurnControl
from conversations.services.leases import Claim, leases_renew
from conversations.services.repeating import failure_tell

log = structlog.get_logger(__name__)

#: Renewals in the time of one lease: two may fail before it is lost.
RENEWALS_PER_LEASE = 3
_JOIN_SECONDS = 5.0


class LeaseKeeper:
    """Holds the claims of this process's turns and renews them until they are let go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[UUID, tuple[Claim, TurnControl]] = {}
        self._winds_up = False
        self._also: Callable[[], None] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def also(self, beat: Callable[[], None]) -> None:
        """Have `beat` called after each renewal, on that thread and its connection."""
        self._also = beat

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; what is still held runs out by itself."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def hold(self, claim: Claim, control: TurnControl) -> None:
        """Renew this claim from now on, and tell `control` its deadline, or that it is lost."""
        with self._lock:
            self._held[claim.conversation_id] = (claim, control)
        if self._winds_up:
            control.hand_back(now=False)

    def wind_up(self, *, now: bool) -> None:
        """Ask all turns, and those that begin yet, to hand their leases back. In their event loop.

        `now` as for TurnControl.hand_back.
        """
        self._winds_up = True
        with self._lock:
            controls = [control for _, control in self._held.values()]
        for control in controls:
            control.hand_back(now=now)

    def let_go(self, claim: Claim) -> None:
        """Renew this claim no more."""
        with self._lock:
            held = self._held.get(claim.conversation_id)
            if held is not None and held[0] == claim:
                del self._held[claim.conversation_id]

    def _run(self) -> None:
        while not self._stopped.wait(settings.LEASE_SECONDS / RENEWALS_PER_LEASE):
            try:
                self._renew()
                if self._also is not None:
                    self._also()
            except Exception as error:  # noqa: BLE001  # its end would be the end of every lease
                # The leases run on for a while; the runners stop by their own deadline if need be.
                failure_tell(log, "leases_not_renewed", error)
                connection.close()
        connection.close()

    def _renew(self) -> None:
        with self._lock:
            held = list(self._held.values())
        if not held:
            return
        # Taken before the update: the lease in the database ends no earlier than this one.
        deadline = time.monotonic() + settings.LEASE_SECONDS
        renewed = leases_renew(claim for claim, _ in held)
        for claim, control in held:
            if claim.conversation_id in renewed:
                control.extend(deadline)
            elif self._is_held(claim):
                control.lose_lease()

    def _is_held(self, claim: Claim) -> bool:
        with self._lock:
            held = self._held.get(claim.conversation_id)
            return held is not None and held[0] == claim
