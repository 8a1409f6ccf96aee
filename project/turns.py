"""What turns need from this deployment: sandboxes, models, titles. Servers and workers alike."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

from conversations.agent.litellm_client import warm_up
from conversations.runtime.local import LocalRuntimeProvider
from conversations.services.lease_keeper import LeaseKeeper
from conversations.services.sweep_runs import process_name
from conversations.services.titles import TitleMaker
from conversations.services.turns import TurnResources
from project.llms import llm_for

#: Threads for what the event loop hands over: histories, workspaces, look-ups of names. The
#: default, four more than there are cores, is taken by a few slow names.
ASIDE_THREADS = 64
#: When the LLM library is loaded where nobody asked for it yet: it takes seconds of CPU, which a
#: start leaves to those who wait for it.
WARM_UP_AFTER_SECONDS = 10.0


def aside_threads_set() -> None:
    """Give the running event loop its threads."""
    threads = ThreadPoolExecutor(ASIDE_THREADS, thread_name_prefix="aside")
    asyncio.get_running_loop().set_default_executor(threads)


def turn_resources(titles: TitleMaker) -> TurnResources:
    """Make what the turns of this process share."""
    return TurnResources(
        runtimes=LocalRuntimeProvider(
            command_timeout=settings.SANDBOX_TIMEOUT,
            close_delay=settings.SANDBOX_CLOSE_DELAY,
            network=settings.SANDBOX_NETWORK,
        ),
        llm_for=llm_for,
        titles=titles,
        keeper=LeaseKeeper(),
        process=process_name(),
    )


def warm_up_later() -> asyncio.TimerHandle:
    """Load the LLM library soon, aside, so that the first task need not."""
    loading = threading.Thread(target=warm_up, name="litellm-warm-up", daemon=True)
    return asyncio.get_running_loop().call_later(WARM_UP_AFTER_SECONDS, loading.start)
