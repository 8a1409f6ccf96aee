"""What a process counts of its own work, for whoever scrapes it. It knows no Django, no table."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from conversations.events.base import Action, NewEvent

#: Models that get a label of their own in one process; later ones share OTHER.
MOST_MODELS: Final = 50
OTHER: Final = "other"
#: Names that may be shown, provider/name; others are somebody's text, a key even.
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}/[A-Za-z0-9._:/@+-]{1,100}", re.ASCII)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HTTP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_WAIT_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LLM_SECONDS: Final = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0)

# When each series began doubles their number, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it is not annotated


class Telemetry:
    """The counters of one process, in a registry of their own. From any thread; none of it waits.

    Every set of labels is bounded: routes, kinds and states are our own words, and of what users
    write only the names of models are shown, a limited number of them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._models: set[str] = set()
        self._models_lock = threading.Lock()
        self._build = self._gauge("build_info", "What runs here; always 1.", "version", "python")
        self._requests = self._histogram(
            "http_request_seconds",
            "HTTP requests, until the answer begins to leave.",
            _HTTP_SECONDS,
            "method",
            "route",
            "status",
        )
        self._sockets = self._gauge("sockets_open", "Open Socket.IO connections.")
        self._waits = self._histogram(
            "turn_wait_seconds", "From a turn being wanted to its claim.", _WAIT_SECONDS
        )
        self._recoveries = self._counter(
            "recoveries", "Turns taken over from a runner whose lease ran out."
        )
        self._events = self._counter("events_appended", "Events stored.", "type", "kind")
        self._answers = self._histogram(
            "llm_answer_seconds", "Answers of LLMs, one call each.", _LLM_SECONDS, "model"
        )
        self._failures = self._counter("llm_failures", "Failed calls of LLMs.", "model", "kind")
        self._tokens = self._counter("llm_tokens", "Tokens of answers.", "model", "type")
        self._cost = self._counter(
            "llm_cost_dollars", "What answers of known price have cost.", "model"
        )
        self._titles = self._counter("titles", "Titles made, by what they are made of.", "source")
        self._deleted = self._counter(
            "conversations_deleted", "Conversations deleted, by users, retention or purges."
        )

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"handrail_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"handrail_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"handrail_{name}", what, labels, registry=self.registry, buckets=buckets)

    def process_described(self, *, version: str, python: str, model: str) -> None:
        """Say what runs; the deployment's own `model` has a label from now on."""
        self._build.labels(version, python).set(1)
        self._label(model, keep=True)

    def request_answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count an HTTP request. `route` is a pattern of ours, never a path."""
        shown = method if method in _METHODS else OTHER
        self._requests.labels(shown, route, str(status)).observe(seconds)

    def sockets_open(self, number: int) -> None:
        """Say how many sockets are open now."""
        self._sockets.set(number)

    def turn_claimed(self, *, waited: float, recovered: bool) -> None:
        """Count a claim, `waited` seconds after it was wanted; `recovered`: from a dead runner."""
        # By two clocks, the database's and this machine's.
        self._waits.observe(max(waited, 0.0))
        if recovered:
            self._recoveries.inc()

    def events_appended(self, events: Sequence[NewEvent]) -> None:
        """Count events that are stored."""
        for event in events:
            is_action = isinstance(event.body, Action)
            self._events.labels("action" if is_action else "observation", event.body.kind).inc()

    def llm_answered(
        self,
        *,
        model: str,
        seconds: float,
        prompt_tokens: int,
        completion_tokens: int,
        cost: float | None,
    ) -> None:
        """Count an answer; a `cost` of None is unknown and adds nothing."""
        label = self._label(model, keep=True)
        self._answers.labels(label).observe(seconds)
        self._tokens.labels(label, "prompt").inc(max(prompt_tokens, 0))
        self._tokens.labels(label, "completion").inc(max(completion_tokens, 0))
        self._cost.labels(label).inc(max(cost or 0.0, 0.0))

    def llm_failed(self, *, model: str, kind: str) -> None:
        """Count a call without an answer. `kind` is one of our own words."""
        self._failures.labels(self._label(model, keep=False), kind).inc()

    def title_made(self, *, by_llm: bool) -> None:
        """Count a title that was stored."""
        self._titles.labels("llm" if by_llm else "message").inc()

    def conversation_deleted(self) -> None:
        """Count a conversation that was deleted."""
        self._deleted.inc()

    def _label(self, model: str, *, keep: bool) -> str:
        """Give a model's label. Only what has answered gets one of its own.

        Anything may stand in the field of a model's name, a key put into the wrong field too.
        """
        if model in self._models:
            return model
        if not keep or not _SHOWABLE.fullmatch(model):
            return OTHER
        with self._models_lock:
            if len(self._models) < MOST_MODELS:
                self._models.add(model)
            return model if model in self._models else OTHER


#: This process's own. Others, such as workers without HTTP, may expose its registry in their way.
telemetry: Final = Telemetry()
