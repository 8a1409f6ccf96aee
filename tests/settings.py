"""Settings of the tests: production's, in a folder of their own, deaf to the environment."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from project import env
from project.database import database_parse, database_settings

#: The PostgreSQL that this run is for; empty for SQLite.
TEST_DATABASE_URL = env.variable("TEST_DATABASE_URL")
#: Whether a test that lacks something of PostgreSQL's fails, as in CI; else it is left out.
REQUIRE_POSTGRESQL = env.variable("REQUIRE_POSTGRESQL") == "1"
_folder = Path(tempfile.mkdtemp(prefix="handrail-test-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
env.environment_replace(
    {
        "DATA_DIR": str(_folder / "data"),
        "SECRET_KEY": "secret-of-the-tests-and-of-nothing-else-0123456789",
    }
)

from project.settings import *  # noqa: E402, F403  # only now: they read the environment as they load
from project.settings import DATABASE_TIMEOUTS, DATABASES, INSTALLED_APPS  # noqa: E402

if TEST_DATABASE_URL:
    _parsed = database_parse("TEST_DATABASE_URL", TEST_DATABASE_URL)
    DATABASES["default"] = database_settings(_parsed, DATABASE_TIMEOUTS)
    # For the tests that run workers in this process.
    INSTALLED_APPS.insert(0, "procrastinate.contrib.django")
else:
    # A file: Django's in-memory default is one connection for all threads.
    DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
