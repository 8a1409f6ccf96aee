"""What is inside and what is public, in every spelling that a resolver or a URL takes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbound.addresses import address_of, is_public
from outbound.policy import INSIDE, PROXIED, OutboundPolicy, allowed_parse, policy_make

NOTHING_ALLOWED = OutboundPolicy()
INSIDE_IPV4 = [IPv4Network(n) for n in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16")]


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x7f000001", "0x7F.0.0.1"),
        *("127.0.0.1.", "127.0.0.1..", "１２７.0.0.1", "127。0。0。1", "127%2e0%2e0%2e1", "0"),
        *("0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
        *("100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[fe80::1]"),
        *("[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]"),
        *("[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]"),
        *("[2001:0:7f00:1::]", "[2001:db8::1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0:7f00:1]"),
        *("localhost", "LOCALHOST", "localhost.", "api.localhost", "user:word@localhost"),
    ],
)
@pytest.mark.parametrize("form", ["http://{}:8000/v1", "https://{}/v1", "http://{}?a", "{}/v1"])
def test_every_spelling_of_an_inner_address_is_refused(host: str, form: str) -> None:
    assert NOTHING_ALLOWED.refusal(form.format(host)) == INSIDE


@pytest.mark.parametrize(
    "url",
    [
        *("https://api.openai.com/v1", "http://8.8.8.8:8000", "https://[2606:4700::1111]/v1"),
        *("https://[64:ff9b::8.8.8.8]", "https://[::ffff:8.8.8.8]", "https://0x8.0x8.0x8.0x8"),
        *("https://localhost.example.org", "https://127.0.0.1.example.org", "", "http://["),
    ],
)
def test_public_addresses_and_names_pass(url: str) -> None:
    # What is no URL reaches nothing: the first request says so.
    assert NOTHING_ALLOWED.refusal(url) == ""


@given(st.ip_addresses(v=4), st.sampled_from(["{}", "::ffff:{}", "64:ff9b::{}"]))
def test_an_ipv4_address_is_judged_alike_in_every_wrapping(address: IPv4Address, form: str) -> None:
    wrapped = ip_address(form.format(address))
    assert is_public(wrapped) == is_public(address)
    if any(address in network for network in INSIDE_IPV4):
        assert not is_public(wrapped)


@given(st.ip_addresses(v=4))
def test_every_number_that_spells_an_address_is_read_as_it(address: IPv4Address) -> None:
    a, b, c, d = address.packed
    low = (c << 8) + d
    spellings = [f"{int(address)}", f"{int(address):#x}", f"{a:#x}.{b:#o}".replace("0o", "0")]
    assert {address_of(text) for text in spellings[:2]} == {address}
    assert address_of(f"{spellings[2]}.{low}") == address


@given(st.ip_addresses(v=6))
def test_only_global_unicast_of_ipv6_is_public(address: IPv6Address) -> None:
    if is_public(address) and address.ipv4_mapped is None:
        assert address.packed[0] >> 5 == 1 or address.packed[:2] == b"\x00\x64"


@pytest.mark.parametrize(
    ("entry", "url", "passes"),
    [
        ("127.0.0.1", "http://127.0.0.1:9/v1", True),
        ("127.0.0.1", "http://0x7f.1:9/v1", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:9", True),
        ("127.0.0.1", "http://127.0.0.2:9", False),
        ("127.0.0.1", "http://localhost:9", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8001", False),
        ("127.0.0.1:443", "https://127.0.0.1", True),
        ("10.0.0.0/8", "http://10.200.3.4", True),
        ("10.0.0.0/8", "http://11.0.0.1", True),
        ("10.0.0.0/8", "http://172.16.0.1", False),
        ("[::1]:80", "http://[::1]", True),
        ("::1", "http://[::1]:9", True),
        ("fd00::/8", "http://[fd12::1]:9", True),
        ("LocalHost.", "http://localhost:9", True),
        ("localhost:9", "http://localhost:9", True),
        ("localhost:9", "http://localhost:8", False),
    ],
)
def test_what_the_operator_has_named_passes(entry: str, url: str, *, passes: bool) -> None:
    policy = OutboundPolicy(allowed=[allowed_parse(entry)])
    assert policy.refusal(url) == ("" if passes else INSIDE)


@pytest.mark.parametrize(
    ("trusted", "url", "passes"),
    [
        ("http://10.0.0.5:4000/v1", "http://10.0.0.5:4000/v1", True),
        ("http://10.0.0.5:4000/v1", "http://10.0.0.5:4001/v1", False),
        ("http://localhost:4000", "http://localhost:4000/v1", True),
        ("", "http://localhost:4000/v1", False),
    ],
)
def test_the_operators_own_address_counts_as_named(trusted: str, url: str, *, passes: bool) -> None:
    policy = policy_make(allowed=[], trusted_url=trusted, proxied=False)
    assert policy.refusal(url) == ("" if passes else INSIDE)


def test_behind_a_proxy_only_what_is_named_passes() -> None:
    policy = OutboundPolicy(allowed=[allowed_parse("llm.example.org")], proxied=True)
    assert policy.refusal("https://llm.example.org/v1") == ""
    assert policy.refusal("https://api.example.org/v1") == PROXIED
    assert policy.refusal("") == ""
