"""Whatever a client asks for, the proxy reaches the public Internet and what was allowed by name, and nothing else."""

from contextlib import suppress
from ipaddress import IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shaper.policy.destination import Destinations, Refusal
from shaper.policy.refused import RefusedError

STRICT = Destinations.parse([], addresses=["192.0.2.1", "2001:db8::1"], ports=[8080])
V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)
WRAPPED = {
    "mapped": lambda v4: IPv6Address(0xFFFF << 32 | int(v4)),
    "compatible": lambda v4: IPv6Address(int(v4)),
    "6to4": lambda v4: IPv6Address(0x2002 << 112 | int(v4) << 80),
    "NAT64": lambda v4: IPv6Address(0x64FF9B << 96 | int(v4)),
    "Teredo server": lambda v4: IPv6Address(0x20010000 << 96 | int(v4) << 64),
    "Teredo client": lambda v4: IPv6Address(0x20010000 << 96 | (~int(v4) & 0xFFFFFFFF)),
}


def refusal(address, host="site.example", port=443, rules=STRICT):
    return rules.refusal(host, [str(address)], port)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", Refusal.LOOPBACK),
        ("127.255.255.254", Refusal.LOOPBACK),
        ("0.0.0.0", Refusal.LOOPBACK),
        ("::1", Refusal.LOOPBACK),
        ("::", Refusal.LOOPBACK),
        ("::ffff:127.0.0.1", Refusal.LOOPBACK),
        ("169.254.169.254", Refusal.METADATA),
        ("::ffff:169.254.169.254", Refusal.METADATA),
        ("64:ff9b::a9fe:a9fe", Refusal.METADATA),
        ("168.63.129.16", Refusal.METADATA),
        ("100.100.100.200", Refusal.METADATA),
        ("fd00:ec2::254", Refusal.METADATA),
        ("169.254.1.1", Refusal.LINK_LOCAL),
        ("fe80::1", Refusal.LINK_LOCAL),
        ("fe80::1%eth0", Refusal.LINK_LOCAL),
        ("10.0.0.1", Refusal.PRIVATE),
        ("172.16.0.1", Refusal.PRIVATE),
        ("192.168.1.1", Refusal.PRIVATE),
        ("100.64.0.1", Refusal.PRIVATE),
        ("198.18.0.1", Refusal.PRIVATE),
        ("255.255.255.255", Refusal.PRIVATE),
        ("fc00::1", Refusal.PRIVATE),
        ("fec0::1", Refusal.PRIVATE),
        ("5f00::1", Refusal.PRIVATE),
        ("::ffff:0:7f00:1", Refusal.PRIVATE),
        ("224.0.0.251", Refusal.MULTICAST),
        ("ff02::1", Refusal.MULTICAST),
        ("1.1.1.1", None),
        ("::ffff:1.1.1.1", None),
        ("2606:4700::1111", None),
        ("64:ff9b::101:101", None),
    ],
)
def test_each_kind_of_address_is_judged(address, expected):
    assert refusal(address) is expected


@given(V4, st.sampled_from(sorted(WRAPPED)))
@example(ip_address("127.0.0.1"), "6to4")
def test_an_ipv4_address_that_is_refused_is_refused_inside_an_ipv6_one(v4, wrapping):
    if refusal(v4):
        assert refusal(WRAPPED[wrapping](v4)), wrapping


@given(st.one_of(V4, V6))
def test_what_the_internet_does_not_route_is_never_reached(address):
    if not address.is_global:
        assert refusal(address)


@given(st.lists(st.one_of(V4, V6), min_size=1, max_size=4))
def test_one_forbidden_address_among_several_is_enough(addresses):
    together = STRICT.refusal("site.example", map(str, addresses), 443)
    assert (together is None) == all(refusal(address) is None for address in addresses)


@given(st.lists(st.text(max_size=20), max_size=3), st.text(max_size=20), st.integers())
def test_nonsense_is_refused_and_does_not_raise(addresses, host, port):
    valid = []
    for text in addresses:
        with suppress(ValueError):
            valid.append(ip_address(text))
    if len(valid) < len(addresses) or not addresses:
        assert STRICT.refusal(host, addresses, port) is Refusal.UNRESOLVED


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::"])
def test_the_proxys_own_port_is_reached_by_no_name_whatever_is_allowed(address):
    rules = Destinations.parse(["site.example", "0.0.0.0/0", "::/0"], ["192.0.2.1", "2001:db8::1"], [8080])
    assert refusal(address, port=8080, rules=rules) is Refusal.OWN_PORT
    assert refusal(address, port=8081, rules=rules) is None


def test_a_public_host_on_a_port_that_the_proxy_also_uses_is_reached():
    assert refusal("1.1.1.1", port=8080) is None


@pytest.mark.parametrize("allowed", ["origin.lab", "*.lab", "10.1.2.3", "10.0.0.0/8"])
def test_what_is_allowed_by_name_is_reached(allowed):
    rules = Destinations.parse([allowed])
    assert refusal("10.1.2.3", host="Origin.lab.", rules=rules) is None
    assert refusal("192.168.1.1", host="other.example", rules=rules) is Refusal.PRIVATE


def test_an_address_may_be_allowed_as_a_url_has_it():
    rules = Destinations.parse(["[fd00::1]"])
    assert refusal("fd00::1", host="name.example", rules=rules) is None
    assert refusal("fd00::2", host="name.example", rules=rules) is Refusal.PRIVATE


def test_an_allowed_network_is_reached_in_its_mapped_form_too():
    rules = Destinations.parse(["10.1.0.0/16"])
    assert refusal("::ffff:10.1.2.3", rules=rules) is None
    assert refusal("::ffff:10.2.2.3", rules=rules) is Refusal.PRIVATE


@pytest.mark.parametrize("text", ["http://x", "10.0.0.0/33", "a b", ""])
def test_an_allowance_that_cannot_be_read_is_refused_in_one_line(text):
    with pytest.raises(RefusedError, match=r"^--allow-destination: .*; write a host"):
        Destinations.parse([text])
