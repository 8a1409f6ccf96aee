"""Users with secrets that a given key has written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from settings_app.models import User
from settings_app.services import settings_store
from tests.commands.rotating import FIRST_ID, NEW, OLD

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings


@pytest.fixture
def stored(settings: Settings) -> Callable[..., list[User]]:
    """Give a maker of users whose secrets `key` has written; it leaves the ring at [NEW, OLD]."""

    def make(*numbers: int, key: str = OLD) -> list[User]:
        settings.FIELD_ENCRYPTION_KEYS = [key]
        users = [User.objects.create(id=FIRST_ID + n, username=f"user-{n}") for n in numbers]
        for n, user in zip(numbers, users, strict=True):
            settings_store(
                user=user,
                fields={"llm_api_key": f"sk-{n}", "provider_tokens": {"github": f"ghp_{n}"}},
            )
        settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
        return users

    return make
