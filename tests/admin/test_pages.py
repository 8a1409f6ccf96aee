"""What the pages cost and survive: as many queries for one row as for fifty, and no 500."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from knox.models import AuthToken

from conversations.admin.loop_reads import loops_count, loops_read
from conversations.events.states import AgentState
from conversations.models import (
    Control,
    Conversation,
    DailyUsage,
    EventRecord,
    LoopLease,
    SweepRun,
    TurnFailure,
)
from conversations.services.sweep_runs import sweep_begin, sweep_run_note
from settings_app.models import User
from settings_app.roles import OPERATOR, VIEWER, roles_ensure
from tests.admin.rows import SECRET, conversation_make, history_make, secret_store
from tests.factories import UserFactory

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

LIST = "/admin/conversations/conversation/"
LOOPS = "/admin/conversations/looplease/"
USERS = "/admin/settings_app/user/"
AUDIT = "/admin/admin/logentry/"


@pytest.fixture
def owner(user: User) -> User:
    secret_store(user)
    return user


def queries_of(client: Client, path: str) -> int:
    # The first request after a change of users reads the local one anew.
    client.get(path)
    with CaptureQueriesContext(connection) as found:
        assert client.get(path).status_code == 200
    return len(found)


def rows_make(number: int) -> None:
    """Store so many users, each with a conversation that failed and is wanted, and a token."""
    for _ in range(number):
        person = UserFactory.create()
        secret_store(person)
        row = conversation_make(person, "One of many", state=AgentState.ERROR)
        LoopLease.objects.filter(pk=row.pk).update(requested=9)
        AuthToken.objects.create(user=person)
        sweep_begin(process=f"host:{row.pk.hex}")


def test_a_page_asks_as_much_for_one_row_as_for_fifty(owner: User, client: Client) -> None:
    paths = [LIST, f"{LIST}?state=error", "/admin/", LOOPS, USERS, AUDIT]
    rows_make(1)
    one = {path: queries_of(client, path) for path in paths}
    rows_make(49)
    assert {path: queries_of(client, path) for path in paths} == one
    assert max(one.values()) <= 10


def test_a_conversation_asks_as_much_for_two_events_as_for_many(
    owner: User, client: Client
) -> None:
    row = conversation_make(owner, "Long")
    path = f"{LIST}{row.pk}/change/"
    few = queries_of(client, path)
    history_make(row, 40)
    assert queries_of(client, path) == few
    assert few <= 6


@pytest.mark.parametrize(
    "query",
    [
        *("before=x", "before=1-0", f"before={'9' * 18}-{'0' * 32}", f"before=0-{'f' * 32}"),
        *("state=nothing", "status=x", "age=x", "owner=nobody", "owner=%00", "repository=%00x"),
        *("q=%00", "q=id:zz", "q=owner:", "q=title:%25_%5C", f"q={'a' * 5000}", "q=abcde"),
        *("o=1.-2", "p=x", "p=99999999999999999999", "all=", "e=1", "_facets=True", "_popup=1"),
        *("replay__isnull=1", "owner__password__startswith=x", "idempotency_key=x", "q=%F0%9F"),
        *("state=error&state=paused&owner=local&q=zebra&status=STOPPED&repository=a/b",),
    ],
)
def test_odd_queries_are_answered(owner: User, client: Client, query: str) -> None:
    conversation_make(owner, "A title")
    for place in (LIST, USERS, AUDIT, LOOPS, "/admin/"):
        assert client.get(f"{place}?{query}").status_code in {200, 302}, place


def test_columns_cannot_be_asked_for(owner: User, client: Client) -> None:
    answer = client.get(f"{USERS}?password__startswith=zzz")
    assert b"local" in answer.content


@pytest.mark.parametrize(
    "row",
    ["x", "0" * 32, "%00", "99999999999999999999", "-1", "1/2", "\u0665", "0" * 31 + "\u0665"],
)
def test_odd_rows_are_said_to_be_missing(owner: User, client: Client, row: str) -> None:
    for place in (LIST, USERS):
        answer = client.get(f"{place}{row}/change/", follow=True)
        assert answer.status_code == 200
        assert b"There is no such" in answer.content


def test_odd_places_in_a_log_are_answered(owner: User, client: Client) -> None:
    row = conversation_make(owner, "A title")
    for query in ("from=x", f"from={'9' * 5000}", "from=-1", "from=\u0665", "kind=x", "kind=%00"):
        assert client.get(f"{LIST}{row.pk.hex}/change/?{query}").status_code == 200


def test_a_search_takes_ids_owners_and_titles(owner: User, client: Client) -> None:
    mine = conversation_make(owner, "Mend the gate")
    other = UserFactory.create()
    secret_store(other)
    theirs = conversation_make(other, "Paint the gate", repository="o/r")

    def found(query: str) -> set[str]:
        page = client.get(f"{LIST}?{query}").content.decode()
        return {row.title for row in (mine_now, theirs_now) if row.title in page}

    mine_now, theirs_now = (Conversation.objects.get(pk=row.pk) for row in (mine, theirs))
    assert found("") == {"Mend the gate", "Paint the gate"}
    for name in (mine.pk.hex, str(mine.pk), mine.pk.hex[:9], f"id:{mine.pk.hex[:6]}", "q"):
        assert found(f"q={name}") == ({"Mend the gate"} if name != "q" else set())
    assert found("q=GATE") == {"Mend the gate", "Paint the gate"}
    assert found(f"q={other.username}") == found(f"owner={other.username}") == {"Paint the gate"}
    assert found("repository=o/r") == found("q=title:paint") == {"Paint the gate"}
    assert found("status=RUNNING") == set()
    LoopLease.objects.filter(pk=mine.pk).update(requested=9)
    assert found("status=RUNNING") == {"Mend the gate"}
    assert found("status=STOPPED&state=finished") == {"Paint the gate"}
    assert found("age=older") == set()


def test_pages_follow_each_other_without_a_gap(owner: User, client: Client) -> None:
    for number in range(60):
        conversation_make(owner, f"Number {number:02}")
    first = client.get(LIST)
    following = first.context["cl"].next_query
    seen = [row.title for row in first.context["cl"].result_list]
    Conversation.objects.filter(title="Number 59").update(deleted_at=timezone.now())
    second = client.get(LIST + following)
    seen += [row.title for row in second.context["cl"].result_list]
    assert seen == [f"Number {number:02}" for number in reversed(range(60))]
    assert second.context["cl"].next_query == ""


def test_events_are_masked_again_and_nothing_is_markup(owner: User, client: Client) -> None:
    row = conversation_make(owner, "<i>Title</i>")
    history_make(row, 1)
    page = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert SECRET not in page
    assert "**********" in page
    assert "<b>My key" not in page
    assert "<i>Title" not in page
    assert "elsewhere.example" not in page
    # Only this test stores it so: nobody else's search for secrets may find it.
    Conversation.objects.filter(pk=row.pk).delete()
    assert not EventRecord.objects.filter(conversation=row.pk).exists()


def test_what_is_stuck_is_told_from_what_waits(
    owner: User, client: Client, settings: Settings
) -> None:
    sweep_run_note(process="host:1")
    now = timezone.now()
    running, waiting, lost, wanted = (
        conversation_make(owner, title) for title in ("Runs", "Waits", "Lost", "Wanted")
    )
    LoopLease.objects.filter(pk=running.pk).update(
        holder="host:1#1", lease_expires_at=now + timedelta(hours=1), claimed_at=now
    )
    ago = now - timedelta(minutes=5)
    LoopLease.objects.filter(pk=lost.pk).update(holder="host:2#1", lease_expires_at=ago)
    LoopLease.objects.filter(pk__in=[waiting.pk, wanted.pk]).update(requested=9)
    Conversation.objects.filter(pk=wanted.pk).update(last_updated_at=ago)
    groups = {
        name: [(loop["title"], loop["why"]) for loop in loops]
        for name, _, loops, _ in client.get(LOOPS).context["groups"]
    }
    assert groups["Running"] == [("Runs", "")]
    assert groups["Waiting"] == [("Waits", "about to start")]
    assert dict(groups["Stuck"]).keys() == {"Lost", "Wanted"}
    assert "nobody has taken it over" in dict(groups["Stuck"])["Lost"]
    assert "1 of 3" in dict(groups["Stuck"])["Wanted"]
    # What is scraped says the same: in one query, where limits stand in the way too.
    with CaptureQueriesContext(connection) as queries:
        assert loops_count() == {"running": 1, "waiting": 1, "stuck": 2}
    assert len(queries) == 1
    settings.MAX_CONCURRENT_CONVERSATIONS = 1
    assert loops_count() == {"running": 1, "waiting": 3, "stuck": 0}
    LoopLease.objects.filter(pk=lost.pk).update(control=Control.STOP)
    assert loops_count() == {"running": 1, "waiting": 2, "stuck": 1}
    read = loops_read()
    assert (len(read.running), len(read.waiting), len(read.stuck)) == (1, 2, 1)


def test_cost_and_failures_are_counted_as_they_are_stored(owner: User, client: Client) -> None:
    row = conversation_make(owner, "Dear", state=AgentState.ERROR)
    conversation_make(owner, "Cheap")
    day = DailyUsage.objects.get()
    assert (day.user, day.day, day.cost) == (owner, timezone.now().date(), 0.5)
    assert (day.prompt_tokens, day.completion_tokens) == (1800, 200)
    failure = TurnFailure.objects.get()
    assert (failure.conversation_id, failure.reason) == (row.pk, "no key")
    page = client.get("/admin/").content.decode()
    assert "$0.50" in page
    assert "no key" in page


def test_the_groups_are_made_once_and_made_good(transactional_db: None) -> None:
    viewer, operator = (Group.objects.get(name=name) for name in (VIEWER, OPERATOR))
    seen = set(viewer.permissions.values_list("codename", flat=True))
    assert all(code.startswith("view_") for code in seen)
    viewer.permissions.clear()
    roles_ensure()
    roles_ensure()
    assert set(viewer.permissions.values_list("codename", flat=True)) == seen
    more = set(operator.permissions.values_list("codename", flat=True)) - seen
    assert more == {"operate_conversation", "delete_authtoken"}
    assert Group.objects.count() == 2


def test_a_process_notes_its_sweeps_and_forgets_those_long_gone(
    transactional_db: None, client: Client
) -> None:
    old = timezone.now() - timedelta(days=2)
    SweepRun.objects.create(process="host:0", started_at=old, last_run_at=old)
    sweep_begin(process="host:1")
    sweep_run_note(process="host:1")
    sweep_begin(process="host:1")
    assert list(SweepRun.objects.values_list("process", flat=True)) == ["host:1"]
    assert b"host:1" in client.get("/admin/").content
