"""What reads and writes cost in queries, and pages that stay right while others create and delete.

In this process, with rows that no door makes: old ones, and many of the same instant.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from conversations.models import Conversation, EventRecord, LoopLease
from conversations.services.messages import message_send
from settings_app.models import User
from settings_app.services import settings_store
from tests.factories import UserFactory

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
    from pytest_django.fixtures import Settings

URL = "/api/conversations"


@pytest.fixture
def api(user: User) -> APIClient:
    settings_store(user=user, fields={"llm_model": "openai/scripted", "llm_api_key": "sk-abcdef"})
    api = APIClient()
    api.get("/api/settings")  # from here on the user is remembered
    return api


def create(api: APIClient, **body: Any) -> str:
    answer = api.post(URL, body)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["conversation_id"])


THOUGHT = {"source": "agent", "action": "think", "args": {"thought": "hm"}}
BODIES: list[dict[str, Any]] = [
    {},
    {"initial_user_msg": "Do it."},
    {"initial_user_msg": "Look.", "image_urls": ["data:image/png;base64,AA=="] * 20},
    {"selected_repository": "owner/name", "selected_branch": "main"},
    {"replay_json": json.dumps([THOUGHT] * 50)},
]


@pytest.mark.parametrize("stored", [0, 30])
@pytest.mark.parametrize("body", BODIES)
def test_create_takes_six_queries_whatever_is_stored(
    api: APIClient,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    stored: int,
    body: dict[str, Any],
) -> None:
    for _ in range(stored):
        create(api, initial_user_msg="x")
    # The beginning and the end of the transaction are two of them.
    with django_assert_max_num_queries(6):
        create(api, **body)
    with django_assert_max_num_queries(6):
        answer = api.post(URL, body, headers={"Idempotency-Key": "key"})
    assert answer.status_code == 200
    with django_assert_max_num_queries(6):
        again = api.post(URL, body, headers={"Idempotency-Key": "key"})
    assert again.json() == answer.json()


@pytest.mark.parametrize("stored", [0, 1, 50])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?limit=100",
        "?limit=7&page_id={second}",
        "?status=RUNNING",
        "?status=STOPPED&query=con&selected_repository=o/n",
    ],
)
def test_a_list_is_one_query_whatever_is_stored(
    api: APIClient, django_assert_num_queries: DjangoAssertNumQueries, stored: int, query: str
) -> None:
    for number in range(stored):
        create(api, initial_user_msg="x" * number, selected_repository="o/n")
    second = api.get(f"{URL}?limit=7").json()["next_page_id"] or ""
    query = query.format(second=second)
    with django_assert_num_queries(1):
        assert api.get(URL + query).status_code == 200
    with django_assert_num_queries(1):
        assert api.get(f"{URL}/count").json() == stored


@pytest.mark.parametrize("events", [1, 300])
def test_a_detail_is_one_query_whatever_is_stored(
    api: APIClient, django_assert_num_queries: DjangoAssertNumQueries, events: int
) -> None:
    conversation_id = create(api, replay_json=json.dumps([THOUGHT] * events))
    conversation = Conversation.objects.get(pk=conversation_id)
    for _ in range(events):
        message_send(conversation=conversation, content="more")
    with django_assert_num_queries(1):
        answer = api.get(f"{URL}/{conversation_id}").json()
    assert answer["conversation_id"] == conversation_id
    with django_assert_num_queries(1):
        assert api.get(f"{URL}/{'0' * 32}").json() is None
    with django_assert_num_queries(0):
        assert api.get(f"{URL}/nonsense").json() is None


def age(conversation_id: str, **ago: float) -> None:
    created_at = timezone.now() - timedelta(**ago)
    Conversation.objects.filter(pk=conversation_id).update(created_at=created_at)


def test_age_is_a_real_distance_in_time_and_the_old_stay_readable(
    api: APIClient, settings: Settings
) -> None:
    settings.CONVERSATION_MAX_AGE_SECONDS = 3600
    old, nearly, young = (create(api) for _ in range(3))
    age(old, seconds=3601)
    age(nearly, seconds=3590)
    listed = api.get(URL).json()
    assert [item["conversation_id"] for item in listed["results"]] == [young, nearly]
    assert listed["next_page_id"] is None
    assert api.get(f"{URL}/count").json() == 2
    assert api.get(f"{URL}/{old}").json()["conversation_id"] == old
    # Full pages: what is over age is left out before the page is cut.
    assert len(api.get(f"{URL}?limit=2").json()["results"]) == 2


def test_an_empty_stored_title_is_shown_as_its_number(api: APIClient) -> None:
    conversation_id = create(api)
    Conversation.objects.filter(pk=conversation_id).update(title="", title_source="generated")
    shown = f"Conversation {conversation_id[:5]}"
    assert api.get(f"{URL}/{conversation_id}").json()["title"] == shown
    assert api.get(URL).json()["results"][0]["title"] == shown


def test_another_users_conversation_is_missing_in_every_answer(api: APIClient) -> None:
    conversation_id = create(api, initial_user_msg="Mine.")
    other = UserFactory.create()
    Conversation.objects.filter(pk=conversation_id).update(owner=other)
    path = f"{URL}/{conversation_id}"
    assert api.get(path).json() is None
    assert api.patch(path, {"title": "x"}).json() is False
    assert api.patch(path, {"title": ""}).json() is False
    assert api.delete(path).json() is False
    assert api.get(URL).json() == {"results": [], "next_page_id": None}
    assert api.get(f"{URL}/count").json() == 0
    for method, end in [("get", "trajectory"), ("get", "events"), ("post", "start")]:
        answer = getattr(api, method)(f"{path}/{end}")
        assert (answer.status_code, answer.json()) == (404, {"error": "Session not found"})
    row = Conversation.objects.get(pk=conversation_id)
    assert (row.title, row.deleted_at, row.last_event_id) == ("", None, 1)


def test_two_users_may_take_the_same_idempotency_key(api: APIClient, user: User) -> None:
    headers = {"Idempotency-Key": "mine"}
    first = api.post(URL, {}, headers=headers).json()["conversation_id"]
    Conversation.objects.filter(pk=first).update(owner=UserFactory.create())
    second = api.post(URL, {"selected_branch": "x"}, headers=headers)
    assert second.status_code == 200
    assert second.json()["conversation_id"] != first


def test_a_search_reads_a_long_log_piece_by_piece(api: APIClient) -> None:
    conversation_id = create(api)
    hits, last = [0, 1, 99, 100, 101, 1999, 2000, 2001, 6500], 6500
    EventRecord.objects.all().delete()
    EventRecord.objects.bulk_create(
        EventRecord(
            conversation_id=UUID(conversation_id),
            event_id=number,
            timestamp=timezone.now(),
            source="user",
            action="message",
            payload={"args": {"content": "needle" if number in hits else "hay"}},
        )
        for number in range(last + 1)
    )
    for limit in (1, 2, 100):
        path = f"{URL}/{conversation_id}/events?query=NEEDLE&limit={limit}"
        found, empty_pages = search(api, f"{path}&reverse=false&start_id=", limit=limit, at=0)
        assert found == hits
        assert empty_pages > 0, "2,000 events without a needle are a page of their own"
        found, empty_pages = search(api, f"{path}&reverse=true&end_id=", limit=limit, at=last)
        assert found == hits[::-1]
        assert empty_pages > 0


def search(api: APIClient, path: str, *, limit: int, at: int) -> tuple[list[int], int]:
    """Ask for page after page; give the ids that were found, and how many pages were empty."""
    found: list[int] = []
    empty_pages = 0
    for _ in range(20):
        answer = api.get(f"{path}{at}").json()
        assert len(answer["events"]) <= limit
        found += [event["id"] for event in answer["events"]]
        empty_pages += not answer["events"]
        if not answer["has_more"]:
            break
        at = answer["next_id"]
    return found, empty_pages


def test_a_page_of_events_is_full_at_a_hundred(api: APIClient) -> None:
    conversation_id = create(api)
    for _ in range(120):
        message_send(conversation=Conversation.objects.get(pk=conversation_id), content="x")
    answer = api.get(f"{URL}/{conversation_id}/events?limit=1000").json()
    assert (len(answer["events"]), answer["next_id"]) == (100, 100)


def test_the_list_reads_a_range_of_its_index(
    api: APIClient, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = timezone.now()
    Conversation.objects.bulk_create(
        Conversation(owner=owner, created_at=now - timedelta(seconds=number), last_updated_at=now)
        for owner in (user, UserFactory.create())
        for number in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    page_id = api.get(f"{URL}?limit=100").json()["next_page_id"]
    for query in ("limit=20", f"limit=20&page_id={page_id}"):
        with django_assert_num_queries(1) as queries:
            assert len(api.get(f"{URL}?{query}").json()["results"]) == 20
        explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        with connection.cursor() as cursor:
            cursor.execute(explain + queries.captured_queries[0]["sql"])
            plan = "\n".join(str(row) for row in cursor.fetchall())
        assert "conversation_newest_first" in plan
        assert "TEMP B-TREE" not in plan
        assert "Sort" not in plan


class Others:
    """Clients that create and delete between two pages; many rows share one instant."""

    def __init__(self, owner: User) -> None:
        Conversation.objects.all().delete()
        self._owner = owner
        self._instant = timezone.now() - timedelta(minutes=1)
        self.alive: set[str] = set()

    def create(self, offset: int) -> str:
        created_at = self._instant + timedelta(microseconds=offset)
        row = Conversation.objects.create(
            owner=self._owner, created_at=created_at, last_updated_at=created_at
        )
        LoopLease.objects.create(conversation=row)
        self.alive.add(row.pk.hex)
        return row.pk.hex

    def delete(self, api: APIClient, number: int) -> None:
        if self.alive:
            gone = sorted(self.alive)[number % len(self.alive)]
            assert api.delete(f"{URL}/{gone}").json() is True
            self.alive.remove(gone)


#: What happens between two pages: the creations' places in time, and which ones are deleted.
between = st.tuples(
    st.lists(st.integers(-2, 2), max_size=4), st.lists(st.integers(0, 99), max_size=4)
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stored=st.lists(st.integers(-2, 2), max_size=14),
    rounds=st.lists(between, max_size=8),
    limit=st.integers(1, 5),
)
def test_pages_hold_every_untouched_conversation_exactly_once(
    api: APIClient,
    user: User,
    stored: list[int],
    rounds: list[tuple[list[int], list[int]]],
    limit: int,
) -> None:
    others = Others(user)
    before = {others.create(offset) for offset in stored}
    happening = iter(rounds)

    def meanwhile() -> None:
        creations, deletions = next(happening, ([], []))
        for offset in creations:
            others.create(offset)
        for number in deletions:
            others.delete(api, number)

    collected = collect(api, limit, meanwhile)
    assert len(collected) == len(set(collected)), "an item came twice"
    untouched = before & others.alive
    assert untouched <= set(collected), "an item was skipped"


def collect(api: APIClient, limit: int, meanwhile: Callable[[], None]) -> list[str]:
    """Read all pages to the last one."""
    collected: list[str] = []
    page_id = ""
    for _ in range(200):
        answer = api.get(f"{URL}?limit={limit}&page_id={page_id}").json()
        results = [item["conversation_id"] for item in answer["results"]]
        places = [
            (datetime.fromisoformat(item["created_at"]), item["conversation_id"])
            for item in answer["results"]
        ]
        assert places == sorted(places, reverse=True)
        collected += results
        if answer["next_page_id"] is None:
            return collected
        assert len(results) == limit, "a page is short, and yet not the last"
        page_id = answer["next_page_id"]
        meanwhile()
    message = "the list has no end"
    raise AssertionError(message)
