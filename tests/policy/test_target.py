"""Sets of hosts: what each form of pattern matches, and that look-ups do not slow down as sets grow."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.model import Contains, Target
from shaper.policy.target import HostSet


def host_set(*hosts):
    return HostSet(Target(hosts=hosts).hosts)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("twimg.com", ["twimg.com", "TWIMG.COM.", "twimg.com:443"], ["pbs.twimg.com", "xtwimg.com", "com", ""]),
        (
            "*.twimg.com",
            ["pbs.twimg.com", "a.b.twimg.com:443", ".twimg.com", "a..twimg.com"],
            ["twimg.com", "xtwimg.com", "twimg.com.evil.example"],
        ),
        ({"contains": "t.co"}, ["t.co", "microsoft.com", "reddit.com", "T.CO:443"], ["twitter.example"]),
        ("bücher.example", ["xn--bcher-kva.example", "BÜCHER.example"], ["bucher.example"]),
        ("xn--bcher-kva.example", ["bücher.example"], ["bucher.example"]),
        ("192.0.2.1", ["192.0.2.1", "192.0.2.1:8080"], ["192.0.2.10"]),
        ("2001:db8::1", ["[2001:db8::1]:443", "[2001:0DB8::0:1]", "2001:db8::1"], ["2001:db8::10"]),
    ],
)
def test_a_pattern_matches_what_it_says(pattern, inside, outside):
    hosts = host_set(pattern)
    assert [host for host in inside if host not in hosts] == []
    assert [host for host in outside if host in hosts] == []


def test_any_of_several_patterns_is_enough():
    hosts = host_set("a.example", "*.b.example", {"contains": "c.e"})
    assert all(host in hosts for host in ("a.example", "x.b.example", "c.example"))


names = st.from_regex(r"[a-z]{1,3}(\.[a-z]{1,3}){0,3}", fullmatch=True)


@given(st.lists(names, min_size=1), names)
def test_a_suffix_matches_exactly_the_names_that_end_in_a_dot_and_it(suffixes, name):
    assert (name in host_set(*(f"*.{suffix}" for suffix in suffixes))) == any(
        name.endswith(f".{suffix}") for suffix in suffixes
    )


def test_nothing_is_in_the_empty_set():
    assert "a.example" not in HostSet(())


def test_a_set_takes_patterns_as_a_policy_holds_them():
    assert "reddit.com" in HostSet([Contains(contains="t.co")])


def test_a_look_up_in_ten_thousand_patterns_costs_about_what_it_costs_in_ten():
    def seconds(size):
        hosts = host_set(*(f"*.host{number}.example" for number in range(size)))
        best = 9.0
        for _ in range(20):
            start = perf_counter()
            for _ in range(200):
                assert "a.b.c.elsewhere.example" not in hosts
            best = min(best, perf_counter() - start)
        return best

    assert seconds(10_000) < 10 * seconds(10)
