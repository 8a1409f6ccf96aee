"""What has to hold for one conversation, judged on its rows as they stream by. No database here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from conversations.events.actions import ACTIONS
from conversations.events.codec import EventRow, event_from_row, event_to_wire
from conversations.events.states import AgentState
from conversations.exceptions import HandrailError

#: How long a tombstone may stand: removing a large workspace takes minutes, never an hour.
LINGER: Final = timedelta(hours=1)
#: Findings of one conversation that are told one by one.
LISTED: Final = 100
#: A hole wider than this is told, and what is behind it is not looked at.
_WIDEST: Final = 1_000_000
_TOLERANCE: Final = 1e-6
_OTHER, _OPEN, _SETTLED, _ACTION = range(4)

_RESTORE = "Something beside Handrail has written: restore this conversation's rows from a backup."
_STATE = "Send it a message, or stop it: the next state event sets the column."
_TOTALS = "Only the totals are wrong: set the columns to what the newest llm_metrics say."
_READ = "Start the version that wrote it, or restore the event from a backup."
_SETTLE = "Stop the conversation by the API or stop_agent_loops: that settles what is open."
_LEASE = "Insert its row into conversations_looplease, or delete the conversation."
_HOLDER = "Stop the conversation; if the holder stays, restore the lease's row from a backup."
_TOMBSTONE = "Look for workspace_not_removed in the server's log; run purge_conversations."


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold."""

    kind: str
    event_id: int | None
    what: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the rows of the conversation and its lease say, the log aside."""

    last_event_id: int
    epoch: int
    agent_state: str
    accumulated_cost: float
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    deleted_at: datetime | None
    #: None where there is no lease.
    requested: int | None
    served: int | None
    holder: str | None
    lease_expires_at: datetime | None


@dataclass(slots=True)
class Sanity:
    """Takes a conversation's events in order, each once; `findings` are told at the end.

    A byte an event is kept, so a log of a million takes a megabyte.
    """

    columns: Columns
    findings: list[Finding] = field(default_factory=list)
    _unlisted: int = 0
    _next: int = 0
    _lost: bool = False
    _kinds: bytearray = field(default_factory=bytearray)
    _open: dict[int, None] = field(default_factory=dict)
    _state: str = AgentState.LOADING
    _metrics: dict[str, float] = field(default_factory=dict)

    def take(self, row: EventRow) -> None:
        """Judge the next event."""
        if self._lost:
            return
        if row.event_id != self._next and not self._skip_to(row.event_id):
            return
        self._next = row.event_id + 1
        executable = row.action in ACTIONS and ACTIONS[row.action].executable
        self._kinds.append(_OPEN if executable else _ACTION if row.action else _OTHER)
        if executable:
            self._open[row.event_id] = None
        if row.cause is not None:
            self._cause(row.event_id, row.cause)
        if bool(row.action) == bool(row.observation):
            self._find("kind", row.event_id, "it is not one of action and observation", _READ)
        else:
            self._read(row)

    def end(self, now: datetime) -> list[Finding]:
        """Judge the columns by the log; give all findings."""
        columns = self.columns
        if columns.deleted_at is not None:
            # Its log is nobody's any more.
            self.findings = []
            if columns.deleted_at < now - LINGER:
                what = f"it was deleted at {columns.deleted_at:%Y-%m-%d %H:%M} and is still there"
                self._find("tombstone", None, what, _TOMBSTONE)
            return self.findings
        self._judge_lease()
        if not self._lost:
            self._judge_columns()
            self._judge_open()
        if self._unlisted:
            self.findings.append(Finding("more", None, f"{self._unlisted} more like these", ""))
        return self.findings

    def _find(self, kind: str, event_id: int | None, what: str, advice: str) -> None:
        if len(self.findings) < LISTED:
            self.findings.append(Finding(kind, event_id, what, advice))
        else:
            self._unlisted += 1

    def _skip_to(self, event_id: int) -> bool:
        """Tell of a hole; whether what is behind it can be judged."""
        self._find("dense", event_id, f"event {self._next} should stand here", _RESTORE)
        self._lost = not 0 <= event_id - self._next <= _WIDEST
        if not self._lost:
            self._kinds.extend(bytes(event_id - self._next))
        return not self._lost

    def _cause(self, event_id: int, cause: int) -> None:
        if not 0 <= cause < event_id:
            self._find("cause", event_id, f"its cause {cause} is not before it", _RESTORE)
        elif self._kinds[cause] == _OTHER:
            self._find("cause", event_id, f"its cause {cause} is not an action", _RESTORE)
        elif self._kinds[cause] == _SETTLED:
            self._find("settled", event_id, f"it settles action {cause} a second time", _RESTORE)
        elif self._kinds[cause] == _OPEN:
            self._kinds[cause] = _SETTLED
            self._open.pop(cause, None)

    def _read(self, row: EventRow) -> None:
        try:
            event_from_row(row)
            event_to_wire(row, with_metadata=True)
            if row.observation == "agent_state_changed":
                self._state = str(row.payload["extras"]["agent_state"])
            if (metrics := row.payload.get("llm_metrics")) is not None:
                self._metrics = _numbers(metrics)
        except (HandrailError, LookupError, TypeError, ValueError, AttributeError) as error:
            why = str(error) or type(error).__name__
            if isinstance(error, KeyError):
                why = f"{why} is missing"
            self._find("payload", row.event_id, f"it cannot be read: {why[:200]}", _READ)

    def _judge_lease(self) -> None:
        columns = self.columns
        if columns.requested is None:
            self._find("lease", None, "it has no lease row", _LEASE)
        elif (columns.holder or columns.lease_expires_at) and columns.epoch == 0:
            what = f"its lease is held by {columns.holder!r}, and nobody ever claimed it (epoch 0)"
            self._find("holder", None, what, _HOLDER)

    def _judge_columns(self) -> None:
        columns = self.columns
        if columns.last_event_id != self._next - 1:
            what = f"last_event_id is {columns.last_event_id}, the log ends with {self._next - 1}"
            self._find("last_event_id", None, what, _RESTORE)
        if columns.agent_state != self._state:
            what = f"agent_state is {columns.agent_state!r}, the log says {self._state!r}"
            self._find("agent_state", None, what, _STATE)
        if columns.total_tokens != columns.prompt_tokens + columns.completion_tokens:
            what = f"total_tokens is {columns.total_tokens}, not the sum of prompt and completion"
            self._find("tokens", None, what, _TOTALS)
        # Titles and refused calls cost too and are no action of the log: never less, maybe more.
        for name, said in self._metrics.items():
            stored = getattr(columns, name)
            if not math.isfinite(stored) or stored < said - _TOLERANCE:
                what = f"{name} is {stored}, the log says {said}"
                self._find("cost" if name == "accumulated_cost" else "tokens", None, what, _TOTALS)

    def _judge_open(self) -> None:
        columns = self.columns
        in_turn = columns.requested is not None and (
            columns.requested > (columns.served or 0) or columns.lease_expires_at is not None
        )
        if in_turn or columns.agent_state == AgentState.AWAITING_USER_CONFIRMATION:
            return
        for event_id in self._open:
            self._find("settled", event_id, "this action was never settled", _SETTLE)


def _numbers(metrics: Any) -> dict[str, float]:
    tokens = metrics["accumulated_token_usage"]
    return {
        "accumulated_cost": float(metrics["accumulated_cost"]),
        "prompt_tokens": int(tokens["prompt_tokens"]),
        "completion_tokens": int(tokens["completion_tokens"]),
    }
