"""The console in a real browser: what people see and do there, by role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.accounts.people import People
from tests.admin.browsing import Person

LIST = "/admin/conversations/conversation/"


def expect_titles(page: Page, *titles: str) -> None:
    """Wait until the list shows these and no other."""
    expect(page.locator("#result_list .field-name")).to_have_text(list(titles))


def open_one(person: Person, title: str) -> Page:
    page = person.go(f"{LIST}?q=title:{title}")
    page.get_by_role("link", name=title).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    return page


def audit_of(page: Page) -> str:
    return page.locator("#audit").inner_text()


def test_the_overview_says_how_things_are(viewer: Person) -> None:
    page = viewer.go("/admin/")
    expect(page.locator(".tile", has_text="Failed in the last hour")).to_contain_text("1")
    expect(page.locator(".tile", has_text="Cost today")).to_contain_text("$15.00")
    expect(page.locator(".chart rect")).to_have_count(30)
    assert "$15.00" in (page.locator(".chart rect title").last.text_content() or "")
    expect(page.locator("#sweeps tbody tr")).to_have_count(1)
    assert "silent" not in page.locator("#sweeps").inner_text()
    expect(page.locator("#failed").get_by_role("link", name="Broken")).to_be_visible()
    expect(page.locator("tr", has_text="Database")).to_contain_text("B")


def test_the_list_is_filtered_and_searched(viewer: Person) -> None:
    page = viewer.go("/admin/")
    page.get_by_role("link", name="Conversations", exact=True).click()
    expect(page.locator("#result_list tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Older »").click()
    expect(page.locator("#result_list")).to_contain_text("Plain 00")
    page.get_by_role("link", name="« Newest").click()
    page.locator("#changelist-filter").get_by_role("link", name="error", exact=True).click()
    expect_titles(page, "Broken")
    page.get_by_role("link", name="Clear all filters").click()
    page.fill("#changelist-filter [name=repository]", "octo/world")
    page.keyboard.press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    page = viewer.go(LIST)
    page.fill("#searchbar", "bob")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".found")).to_contain_text("of the owner “bob”")
    page.fill("#searchbar", "history")
    page.get_by_role("button", name="Search").click()
    expect_titles(page, "With a history")


def test_a_timeline_has_pages_and_kinds(viewer: Person) -> None:
    page = open_one(viewer, "With a history")
    events = page.locator(".events > li")
    expect(events).to_have_count(30)
    expect(events.first).to_contain_text("1 image")
    expect(events.first).to_contain_text("<b>My key</b>")
    expect(page.locator(".diff .added")).to_have_text("+x = 2")
    page.get_by_role("link", name="Older »").click()
    expect(events.last).to_contain_text("Mend it.")
    page.select_option("[name=kind]", "edit")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(events).to_have_count(2)
    page.get_by_role("link", name="All kinds").click()
    expect(events).to_have_count(30)
    expect(page.locator("#lease")).to_contain_text("nobody")


def test_loops_and_users_are_shown(viewer: Person) -> None:
    page = viewer.go("/admin/conversations/looplease/")
    for name in ("Stuck", "Running", "Waiting"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.get_by_role("link", name="Users", exact=True).click()
    row = page.locator("#result_list tr", has_text="ada").first
    expect(row).to_contain_text("$14.00")
    row.get_by_role("link").click()
    expect(page.locator("#settings")).to_contain_text("openai/scripted")
    assert "sk-ada" not in page.content()
    assert page.get_by_role("button", name="Revoke").count() == 0


def test_a_viewer_has_no_actions_and_is_refused(viewer: Person, people: People) -> None:
    page = open_one(viewer, "To be deleted")
    row = page.locator(".under code").inner_text()
    assert page.locator(".operations").count() == 0
    assert viewer.go(LIST).locator("[name=action]").count() == 0
    for action in ("stop", "resume", "retitle", "export", "delete", "delete_selected"):
        sent = {"action": action, "_selected_action": row, "confirmed": "yes"}
        assert viewer.post(LIST, **sent) == 403
    token = people.tokens["ada"][:15]
    assert viewer.post("/admin/settings_app/user/1/revoke/", token=token, confirmed="yes") == 403
    assert people.call("ada", "GET", "/api/conversations/count")[0] == 200
    open_one(viewer, "To be deleted")


@pytest.mark.parametrize(
    ("title", "button", "said"),
    [
        ("To be stopped", "Stop", "Stopped"),
        ("To be resumed", "Resume", "Resumed"),
        ("To be retitled", "Regenerate title", "Asked for a new title"),
    ],
)
def test_an_action_asks_first_acts_and_is_written_down(
    operator: Person, title: str, button: str, said: str
) -> None:
    page = open_one(operator, title)
    page.get_by_role("button", name=f"{button} …").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{button}?")
    page.get_by_role("link", name="No, go back").click()
    assert said not in audit_of(page), "asked only"
    page.get_by_role("button", name=f"{button} …").click()
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url("**/change/")
    expect(page.locator(".messagelist")).to_contain_text(said)
    assert "operator" in audit_of(page)
    assert said in audit_of(page)
    if title == "To be retitled":
        expect(page.get_by_role("heading", level=1)).not_to_have_text(title)


def test_a_trajectory_is_exported_and_that_is_written_down(
    operator: Person, tmp_path: Path
) -> None:
    page = open_one(operator, "With a history")
    here = page.url
    page.get_by_role("button", name="Export trajectory …").click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export trajectory", exact=True).click()
    file = tmp_path / "trajectory.json"
    downloading.value.save_as(file)
    events = json.loads(file.read_text())["trajectory"]
    assert [event["id"] for event in events] == list(range(len(events)))
    operator.go(here)
    assert "Exported the trajectory" in audit_of(page)


def test_the_chosen_of_the_list_are_deleted_with_their_sandboxes(operator: Person) -> None:
    page = operator.go(f"{LIST}?q=title:To be deleted")
    page.locator("tbody [name=_selected_action]").first.check()
    page.select_option("[name=action]", "delete")
    page.get_by_role("button", name="Go").click()
    page.get_by_role("button", name="Delete with sandbox", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("Deleted with its sandbox")
    operator.go(f"{LIST}?q=title:To be deleted")
    expect_titles(page)
    page.get_by_role("link", name="Audit").click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("To be deleted")


def test_odd_actions_are_said(operator: Person) -> None:
    odd = [
        {},
        {"action": "x", "_selected_action": "x"},
        {"action": "stop", "_selected_action": "\0"},
        {"action": "stop", "_selected_action": "0" * 32, "select_across": "1", "confirmed": "yes"},
        {"action": "stop", "next": "https://evil.example/"},
    ]
    for fields in odd:
        assert operator.post(LIST, **fields) == 302
    assert operator.post("/admin/settings_app/user/1/revoke/", token="x", confirmed="yes") == 302


def test_a_token_is_revoked_at_once(operator: Person, people: People) -> None:
    people.tokens["second"] = people.manage("create_token", "bob").strip()
    assert people.call("second", "GET", "/api/conversations/count")[0] == 200
    page = operator.go("/admin/settings_app/user/?q=bob")
    page.locator("#result_list").get_by_role("link", name="bob").click()
    token = page.locator("#tokens tr", has_text=people.tokens["second"][:8])
    token.get_by_role("button", name="Revoke …").click()
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("Revoked")
    assert people.call("second", "GET", "/api/conversations/count")[0] == 401
    assert people.call("bob", "GET", "/api/conversations/count")[0] == 200
    page.get_by_role("link", name="Audit").click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("Revoked the token")


def test_the_home_page_links_to_the_console_and_back(operator: Person) -> None:
    page = operator.go("/")
    page.get_by_role("link", name="/admin/").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("link", name="Home page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Handrail")
