"""What belongs to another user does not exist (invariant 8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from conversations.models import Conversation
from conversations.selectors import conversation_get, conversation_item, conversation_page
from settings_app.models import User
from tests.factories import UserFactory

Make = Callable[..., Conversation]


def listed(user: User) -> list[str]:
    items, _ = conversation_page(user=user, limit=10)
    return [item["conversation_id"] for item in items]


def test_another_users_conversation_is_not_found(conversation_of: Make, owner: User) -> None:
    conversation = conversation_of()
    other = UserFactory.create()
    assert conversation_get(user=other, conversation_id=conversation.pk) is None
    assert conversation_item(user=other, conversation_id=conversation.pk) is None
    assert listed(other) == []
    assert conversation_get(user=owner, conversation_id=conversation.pk) == conversation
    assert conversation_item(user=owner, conversation_id=conversation.pk) is not None
    assert len(listed(owner)) == 1


def test_one_user_takes_no_turn_from_another(conversation_of: Make, owner: User) -> None:
    mine = conversation_of()
    other = UserFactory.create()
    Conversation.objects.filter(pk=mine.pk).update(owner=other)
    assert listed(owner) == []
    assert listed(other) == [mine.pk.hex]


def test_a_list_and_a_detail_are_one_query_each(
    conversation_of: Make, owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    made = [conversation_of() for _ in range(5)]
    with django_assert_num_queries(1):
        assert len(listed(owner)) == 5
    with django_assert_num_queries(1):
        assert conversation_item(user=owner, conversation_id=made[0].pk) is not None


def test_an_old_conversation_is_not_listed_and_stays_readable(
    conversation_of: Make, owner: User
) -> None:
    old, young = conversation_of(), conversation_of()
    long_ago = timezone.now() - timedelta(days=11)
    Conversation.objects.filter(pk=old.pk).update(created_at=long_ago)
    assert listed(owner) == [young.pk.hex]
    assert conversation_item(user=owner, conversation_id=old.pk) is not None
