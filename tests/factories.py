"""Rows that tests need and no door makes yet: users beside the local one."""

from __future__ import annotations

from factory.declarations import LazyAttributeSequence
from factory.django import DjangoModelFactory

from settings_app.models import User


def _name(_user: object, number: int) -> str:
    return f"user-{number}"


class UserFactory(DjangoModelFactory[User]):
    """A user with a name of his own."""

    class Meta:
        model = User

    username = LazyAttributeSequence(_name)  # type: ignore[no-untyped-call]  # the library is not typed
