"""Logging in through a proxy with TLS: whom failed logins are counted for, and other ports."""

from __future__ import annotations

import pytest

from tests.accounts.conftest import PROXY
from tests.accounts.people import PASSWORD, People

#: Another address of this machine, from which no proxy of ours speaks.
ELSEWHERE = "127.0.0.2"


def tried(people: People, hops: str, *, peer: str = PROXY) -> int:
    """Try a wrong password; give the status."""
    headers = {"X-Forwarded-For": hops}
    form = {"username": "nobody here", "password": "x"}
    return people.post_form("/login", headers=headers, peer=peer, **form)[0]


def test_failed_logins_count_for_the_client_and_not_for_the_proxy(people: People) -> None:
    statuses = [tried(people, f"198.51.100.{n}, 203.0.113.7") for n in range(11)]
    assert statuses[-1] == 429, "whatever stands before the last hop"
    assert tried(people, "203.0.113.7, 10.9.0.1") == 429, "a proxy behind the proxy"
    assert tried(people, "203.0.113.8") == 200
    assert tried(people, "203.0.113.7, garbage") == 200, "not understood: the proxy's own address"
    assert tried(people, "203.0.113.7", peer=ELSEWHERE) == 200, "no proxy of ours"


@pytest.mark.parametrize("host", ["handrail.example:8443", "127.0.0.1:8443", "handrail.example"])
def test_a_login_works_on_every_port_of_the_proxy(people: People, host: str) -> None:
    form = {"username": "ada", "password": PASSWORD}
    asked = {
        "Host": host,
        "Origin": f"https://{host}",
        "Sec-Fetch-Site": "same-origin",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
    }
    assert people.post_form("/login", headers=asked, **form)[0] == 302
    referred = {key: value for key, value in asked.items() if key != "Origin"}
    referred["Referer"] = f"https://{host}/login"
    assert people.post_form("/login", headers=referred, **form)[0] == 302
    for other in ("https://evil.example", "https://handrail.example:9443", "null"):
        for more in ({"Origin": other}, {"Origin": other, "Sec-Fetch-Site": "cross-site"}):
            assert people.post_form("/login", headers={**asked, **more}, **form)[0] == 403
