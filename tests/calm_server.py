"""`manage.py` without two things that take seconds of CPU, and which its users do not test.

The LLM library is loaded when a model is asked, and not ten seconds after the start; the hash of
a password has few rounds.
"""

from __future__ import annotations

import django
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from project.command_line import main
from project.env import settings_module_default

#: Of a password's hash.
ROUNDS = 1_000

if __name__ == "__main__":
    settings_module_default("project.settings")
    django.setup()
    from project import turns

    PBKDF2PasswordHasher.iterations = ROUNDS
    turns.WARM_UP_AFTER_SECONDS = 3600.0
    main()
