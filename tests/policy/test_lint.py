"""The collateral of patterns, before anyone runs them."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.judge import Judge
from shaper.policy.lint import Kind, lint, registrable
from shaper.policy.load import loads
from shaper.policy.model import Policy

TEXT = files("shaper.policy").joinpath("known_hosts.txt").read_text("utf-8")
KNOWN = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def policy(*hosts, never=()):
    return Policy.model_validate(
        {
            "version": 1,
            "study": "x",
            "targets": {"t": {"hosts": hosts}, "unused": {"hosts": [{"contains": "o"}]}},
            "never": never,
            "rules": [{"name": name, "target": "t", "media": ["image"]} for name in ("first", "second")],
        }
    )


def kinds(*patterns, hosts=()):
    return [finding.kind for finding in lint(policy(*patterns), hosts)]


def hit(*patterns, hosts=KNOWN, never=()):
    found = lint(policy(*patterns, never=never), hosts)
    return {finding.host for finding in found if finding.kind is Kind.COLLATERAL}


def test_the_substring_of_2021_hits_reddit_and_microsoft_and_others_that_were_reported():
    reported = {"reddit.com", "microsoft.com", "rt.com", "github-releases.githubusercontent.com", "championat.com"}
    assert reported <= hit({"contains": "t.co"})
    assert "t.co" not in hit({"contains": "t.co"})


def test_its_correction_hits_nobody():
    assert list(lint(policy("t.co", "*.twimg.com", "twitter.com"), KNOWN)) == []


def test_a_finding_names_the_rules_the_pattern_the_host_and_the_remedy():
    loose, collateral = lint(policy({"contains": "t.co"}), ["microsoft.com", "t.co", "example.org"])
    assert (loose.target, collateral.target) == ("t", "t")
    assert str(loose) == (
        'rules "first", "second": {contains: "t.co"} matches anywhere in a name; write "t.co" and "*.t.co"'
    )
    assert str(collateral) == (
        'rules "first", "second": {contains: "t.co"} reaches microsoft.com; write "t.co" and "*.t.co"'
    )


def test_a_target_of_one_rule_names_one_rule():
    text = """
version: 1
study: x
targets: {t: {hosts: ["*.com"]}}
rules: [{name: only, target: t, media: [image]}]
"""
    assert [str(finding) for finding in lint(loads(text, "x"), ["example.org"])] == [
        'rule "only": "*.com" matches every domain below a public suffix; '
        'name the domains that are meant, as in "*.example.com"'
    ]


@pytest.mark.parametrize("pattern", ["*.com", "*.co.uk", "*.github.io", "*.xn--p1ai", "*.kawasaki.jp", "*.test"])
def test_a_suffix_pattern_over_a_public_suffix_is_wide(pattern):
    assert kinds(pattern) == [Kind.WIDE]


@pytest.mark.parametrize("pattern", ["*.twimg.com", "*.a.co.uk", "*.city.kawasaki.jp", "co.uk", "com", "127.0.0.1"])
def test_a_pattern_within_one_registrable_domain_is_not(pattern):
    assert kinds(pattern, hosts=[*KNOWN, pattern]) == []


def test_a_wide_suffix_names_each_domain_that_it_reaches():
    assert hit("*.co.uk", hosts=["bbc.co.uk", "co.uk", "bbc.com"]) == {"bbc.co.uk"}


def test_a_contains_pattern_is_always_warned_about():
    assert kinds({"contains": "a-name-that-nobody-has.example"}, hosts=KNOWN) == [Kind.LOOSE]


def test_a_domain_that_the_target_names_elsewhere_is_meant():
    assert hit({"contains": "t.co"}, "*.reddit.com", hosts=["www.reddit.com", "rt.com"]) == {"rt.com"}


def test_a_bare_word_means_the_domains_of_that_name():
    hosts = ["twitter.com", "api.twitter.com", "twitter.co.uk", "throttletwitter.com"]
    assert hit({"contains": "twitter"}, hosts=hosts) == {"throttletwitter.com"}
    assert next(lint(policy({"contains": "twitter"}), ())).remedy == "list the hosts that are meant"


def test_part_of_a_domain_means_the_domain():
    assert hit({"contains": ".twimg.com"}, hosts=["pbs.twimg.com", "pbs.twimg.com.example.org"]) == {
        "pbs.twimg.com.example.org"
    }


def test_a_public_suffix_within_a_name_has_no_domain_to_offer():
    assert next(lint(policy({"contains": ".co.uk"}), ())).remedy == "list the hosts that are meant"


def test_hosts_on_the_never_list_are_not_reached():
    assert hit({"contains": "t.co"}, hosts=["rt.com", "reddit.com"], never=["rt.com"]) == {"reddit.com"}


def test_names_beyond_ascii_are_matched_as_they_travel_and_shown_as_they_were_given():
    (_, finding) = lint(policy({"contains": "xn--mn"}), ["münchen.de"])
    assert "reaches münchen.de (xn--mnchen-3ya.de);" in str(finding)


def test_a_host_in_capitals_is_shown_as_it_was_given():
    (_, finding) = lint(policy({"contains": "t.co"}), ["Reddit.com"])
    assert "reaches Reddit.com;" in str(finding)


def test_a_host_listed_twice_is_named_once():
    assert kinds({"contains": "t.co"}, hosts=["rt.com", "rt.com"]) == [Kind.LOOSE, Kind.COLLATERAL]


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.bbc.co.uk", "bbc.co.uk"),
        ("BBC.co.uk.", "bbc.co.uk"),
        ("a.b.github.io", "b.github.io"),
        ("kremlin.xn--p1ai", "kremlin.xn--p1ai"),
        ("www.правительство.рф", "xn--80aealotwbjpid2k.xn--p1ai"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("a..b", "a..b"),
        ("", ""),
    ],
)
def test_a_registrable_domain_is_what_someone_registered(host, domain):
    assert registrable(host) == domain


def test_the_well_known_hosts_are_many_and_distinct():
    assert len(KNOWN) >= 300
    assert len({registrable(host) + host for host in KNOWN}) == len(KNOWN)


NAMES = st.sampled_from([*KNOWN, "a.test", "b.co.uk", "192.0.2.1"])
PARTS = st.builds(
    lambda name, cut: {"contains": name[cut:] or "t"}, st.sampled_from(["reddit.com", "t.co"]), st.integers(0, 8)
)
PATTERNS = st.one_of(st.sampled_from(["*.com", "*.co.uk", "*.twimg.com", "t.co", "bbc.co.uk"]), PARTS)


@given(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(NAMES, max_size=8), st.lists(NAMES, max_size=2))
def test_collateral_is_what_the_judge_would_target_beyond_the_domains_named(patterns, hosts, never):
    study = policy(*patterns, never=never)
    judge = Judge(study)
    found = {finding.host for finding in lint(study, hosts) if finding.kind is Kind.COLLATERAL}
    targeted = {host for host in hosts if judge.listing(host).target == "t" and not judge.listing(host).never}
    assert found <= targeted
    exact = {registrable(p.removeprefix("*.")) for p in patterns if isinstance(p, str)}
    for host in targeted - found:  # what is targeted and not collateral is named by some pattern
        parts = {p["contains"].strip(".") for p in patterns if not isinstance(p, str)}
        assert registrable(host) in exact | {registrable(part) for part in parts} or (
            registrable(host).partition(".")[0] in parts
        )


@given(st.text(max_size=30))
def test_whatever_the_host_linting_never_fails(host):
    found = list(lint(policy({"contains": "t"}, "*.com"), [host]))
    assert all(str(finding) for finding in found)
