"""Django's settings of the floors: production's, with one database for each size of a run."""

from __future__ import annotations

import json

from project import env
from project.settings import *  # noqa: F403  # the same middleware, connections and limits
from project.settings import DATABASES

#: Where the bare views stand, before the product's own addresses.
ROOT_URLCONF = "benchmarks.urls"
for _alias, _name in json.loads(env.variable("BENCHMARK_DATABASES") or "{}").items():
    DATABASES[_alias] = {**DATABASES["default"], "NAME": _name}
