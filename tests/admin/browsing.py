"""A real browser that remembers what went wrong on the pages it saw."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.accounts.people import PASSWORD
from tests.serving import Server

_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
#: Milliseconds until a page that does not do what is asked fails the test.
_DEADLINE = 15_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium, in a folder of its own that goes with it."""
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=_FLAGS, env={"HOME": home}
        )
        yield browser
        browser.close()


class Person:
    """Somebody before a browser, logged in."""

    def __init__(self, browser: Browser, server: Server, name: str) -> None:
        self._server = server
        self.problems: list[str] = []
        self.context: BrowserContext = browser.new_context(base_url=server.address)
        self.context.set_default_timeout(_DEADLINE)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._note(said.text, is_wrong=said.type == "error"))
        self.page.on("pageerror", lambda error: self._note(str(error), is_wrong=True))
        self.page.on("response", lambda found: self._note(found.url, is_wrong=found.status >= 400))
        self.page.on(
            "request", lambda asked: self._note(asked.url, is_wrong=not self._is_ours(asked.url))
        )
        self.page.goto("/login?next=/admin/")
        self.page.fill("[name=username]", name)
        self.page.fill("[name=password]", PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/admin/")

    def _is_ours(self, url: str) -> bool:
        return url.startswith((self._server.address, "data:"))

    def _note(self, what: str, *, is_wrong: bool) -> None:
        if is_wrong:
            self.problems.append(what)

    def go(self, path: str) -> Page:
        """Open a page."""
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        return self.page

    def post(self, path: str, **fields: str) -> int:
        """Send a form that no page of his has, with his own CSRF token; give the status."""
        page = self.go("/admin/")
        token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
        form: dict[str, str | float | bool] = {**fields, "csrfmiddlewaretoken": token}
        headers = {"Origin": self._server.address}
        answer = self.context.request.post(path, form=form, headers=headers, max_redirects=0)
        return answer.status
