"""One run: a deployment, its load, the blows, and the verdict."""

from __future__ import annotations

import asyncio
import itertools
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from chaos.client import Api
from chaos.fleet import ROOT, Fleet, Member
from chaos.plan import Blow, Step, steps
from chaos.recovery import Recoveries
from chaos.store import SQLiteStore, Store, postgresql_store
from chaos.task import Task, model
from tests.scripted_llm import ScriptedLLMServer

_COMMAND_SECONDS: Final = 300
_DATABASE_AWAY: Final = "The database does not answer"
#: Nobody checks it.
_KEY: Final = "sk-chaos-0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is like; with the seed, all blows are the same again."""

    database: str
    kills: int
    seed: int
    web: int
    workers: int
    #: Conversations at a time.
    active: int
    #: Every so many conversations one is answered by a model; 0: all replay.
    model_every: int
    #: Seconds; the longest pause between two blows, and LEASE_SECONDS.
    pause: float
    lease: float
    #: Minutes after which no further blow falls, however many are left.
    minutes: float = math.inf


@dataclass(slots=True)
class Report:
    """What happened."""

    settings: Settings
    kind: str = ""
    blows: Counter[str] = field(default_factory=Counter)
    tasks: list[Task] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)
    #: Processes that ended without a blow.
    deaths: list[str] = field(default_factory=list)
    seconds: float = 0.0
    #: What `sanity_check` says of the stored data; "" where all is well.
    insane: str = ""


def chaos_run(settings: Settings) -> Report:
    """Do it all; takes about two seconds a kill. Raises RuntimeError where nothing starts."""
    report = Report(settings)
    begun = time.monotonic()
    with _deployment(settings) as (store, environment), ScriptedLLMServer() as llm:
        report.kind = store.kind
        llm.script(model, marker="[chaos ")
        fleet = Fleet(
            Path(environment["DATA_DIR"]), environment, web=settings.web, workers=settings.workers
        )
        fleet.start()
        try:
            with Recoveries(store) as recoveries:
                asyncio.run(_Run(report, store, fleet, recoveries, llm.base_url).all())
                report.recoveries = recoveries.seconds
        finally:
            fleet.stop()
        report.insane = _manage(environment, "sanity_check")
    report.seconds = time.monotonic() - begun
    return report


@contextmanager
def _deployment(settings: Settings) -> Iterator[tuple[Store, dict[str, str]]]:
    with tempfile.TemporaryDirectory(prefix="handrail-chaos-") as folder:
        data_dir = Path(folder)
        on_postgresql = settings.database == "postgresql"
        made = postgresql_store() if on_postgresql else nullcontext(SQLiteStore(data_dir))
        with made as store:
            environment = {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": folder,
                "DATA_DIR": folder,
                "LEASE_SECONDS": str(settings.lease),
                "MAX_CONCURRENT_CONVERSATIONS": "100",
                **({"EXECUTOR": "procrastinate"} if settings.workers else {}),
                **store.environment,
            }
            if problem := _manage(environment, "migrate", "--verbosity", "0"):
                raise RuntimeError(problem)
            yield store, environment


def _manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command; give what it says where it fails, else ""."""
    done = subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


class _Run:
    def __init__(
        self, report: Report, store: Store, fleet: Fleet, recoveries: Recoveries, model_url: str
    ) -> None:
        self._report = report
        self._store = store
        self._fleet = fleet
        self._recoveries = recoveries
        self._model_url = model_url
        self._over = asyncio.Event()

    async def all(self) -> None:
        """Keep up the load until the last blow has fallen, then let everything come to rest."""
        settings = self._report.settings
        async with aiohttp.ClientSession() as session:
            api = Api(session, self._fleet.ports)
            given = {"llm_model": "openai/scripted", "llm_api_key": _KEY}
            await api.ok("POST", "/api/settings", {**given, "llm_base_url": self._model_url})
            numbers = itertools.count()
            async with asyncio.TaskGroup() as group:
                for _ in range(settings.active):
                    group.create_task(self._work(api, numbers))
                await self._strike()
                self._over.set()

    async def _work(self, api: Api, numbers: Iterator[int]) -> None:
        every = self._report.settings.model_every
        while not self._over.is_set():
            number = next(numbers)
            asks_a_model = every and number % every == 0
            task = Task(mark=f"{number}", messages=2 if asks_a_model else 0)
            self._report.tasks.append(task)
            await task.run(api, self._data_dir, self._over)

    @property
    def _data_dir(self) -> Path:
        return self._fleet.data_dir

    async def _strike(self) -> None:
        settings = self._report.settings
        plan = steps(
            kills=settings.kills,
            seed=settings.seed,
            pause=settings.pause,
            lease=settings.lease,
            restarts=settings.database == "postgresql",
        )
        away: set[asyncio.Task[None]] = set()
        end = time.monotonic() + 60 * settings.minutes
        for step in itertools.takewhile(lambda _: time.monotonic() < end, plan):
            await asyncio.sleep(step.pause)
            if step.blow is Blow.RESTART:
                await asyncio.to_thread(self._store.restart)
                self._report.blows[step.blow] += 1
                continue
            member = await self._victim(step)
            member.is_hit = True
            blow = asyncio.create_task(self._hit(step, member))
            away.add(blow)
            blow.add_done_callback(away.discard)
            if step.blow is Blow.KILL:
                await asyncio.wait([blow])
        await asyncio.gather(*away)
        for member in self._fleet.members:
            self._check_alive(member)

    async def _victim(self, step: Step) -> Member:
        """Choose one that stands: most blows fall on those that run turns."""
        among = self._fleet.runners if step.at < 0.8 else self._fleet.members  # noqa: PLR2004
        while True:
            for member in self._fleet.members:
                if not member.is_hit:
                    self._check_alive(member)
            standing = [member for member in among if not member.is_hit]
            if standing:
                return standing[int(step.at * 1000) % len(standing)]
            await asyncio.sleep(0.05)

    def _check_alive(self, member: Member) -> None:
        """Note what has ended by itself, and start it again, as a supervisor does."""
        if member.is_alive:
            return
        # What is started while the database is away says so and ends.
        if _DATABASE_AWAY not in member.log_tail:
            self._report.deaths.append(f"{member.name} ended by itself: {member.log_tail}")
        member.start()

    async def _hit(self, step: Step, member: Member) -> None:
        self._report.blows[step.blow] += 1
        if step.blow is Blow.FREEZE:
            member.freeze()
            await asyncio.sleep(step.lasts)
            member.thaw()
        else:
            if step.blow is Blow.KILL:
                pid = member.pid
                member.kill()
                self._recoveries.died(pid)
            else:
                self._report.drains.append(await asyncio.to_thread(member.stop))
            await asyncio.sleep(step.lasts)
            member.start()
        member.is_hit = False
