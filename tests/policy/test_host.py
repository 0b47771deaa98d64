"""Host names: one canonical form for traffic, and patterns that are refused when they could never match."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shaper.policy.host import canonical, host_part, host_pattern
from shaper.policy.refused import RefusedError


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        ("PBS.Twimg.COM", "pbs.twimg.com"),
        ("twimg.com.", "twimg.com"),
        ("twimg.com:443", "twimg.com"),
        ("twimg.com.:443", "twimg.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example:8443", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[2001:db8:0:0::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1", "2001:db8::1"),
        ("my_bucket.example", "my_bucket.example"),
        ("LINUX:443", "linux"),
        ("no name.:443", "no name"),
        ("", ""),
    ],
)
def test_a_host_has_one_canonical_form(seen, name):
    assert canonical(seen) == name


@given(st.text() | st.from_regex(r"\[?[0-9a-fß-ü:.]*\]?(:[0-9]*)?", fullmatch=True))
@example("\ud800")
@example("[")
@example("a" * 5000 + "ü")
def test_any_text_has_a_canonical_form_in_lower_case_without_a_trailing_dot(text):
    name = canonical(text)
    assert name == name.lower()
    assert not name.endswith(".")


@given(st.from_regex(r"[a-zA-Zà-öø-ü]{1,9}(\.[a-zA-Z0-9]{1,9}){0,3}", fullmatch=True))
def test_a_canonical_form_is_its_own(name):
    assert canonical(canonical(name)) == canonical(name) == canonical(f"{name.upper()}.:443")


LONGEST = ("a" * 61 + ".") * 4 + "bcdef"  # 253 characters, as many as the DNS takes


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("twimg.com", "twimg.com"),
        ("*.TWIMG.com.", "*.twimg.com"),
        ("*.bücher.example", "*.xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("PICTURES.XXX", "pictures.xxx"),
        (LONGEST, LONGEST),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8:0::1", "2001:db8::1"),
    ],
)
def test_a_pattern_is_kept_in_canonical_form(written, pattern):
    assert host_pattern(written) == pattern


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("*foo.com", 'write "*.foo.com" for its subdomains, "foo.com" for itself, or {contains: "foo.com"}'),
        ("*t.co*", 'write "*.t.co" for its subdomains, "t.co" for itself, or {contains: "t.co"}'),
        ("http://foo.com/a?b", 'write only the host, "foo.com"'),
        ("foo.com:443", 'write only the host, "foo.com"'),
        ("foo.com/", 'write only the host, "foo.com"'),
        ("https://*.foo.com/a", 'write only the host, "*.foo.com"'),
        ("a b", 'write for example "example.org"'),
        ("*", 'write for example "example.org"'),
        ("*.", 'write for example "example.org"'),
        ("*.192.0.2.1", 'write for example "example.org"'),
        ("192.0.2.999", 'write for example "example.org"'),
        ("a..b", 'write for example "example.org"'),
        ("-a.example", 'write for example "example.org"'),
        ("", 'write for example "example.org"'),
        ("a" * 64 + ".example", 'write for example "example.org"'),
        (LONGEST + "g", 'write for example "example.org"'),
        ("a." * 127 + "example", 'write for example "example.org"'),
    ],
)
def test_a_pattern_that_could_never_match_is_refused_with_a_better_one(written, remedy):
    with pytest.raises(RefusedError) as refused:
        host_pattern(written)
    assert refused.value.remedy.startswith(remedy)


@pytest.mark.parametrize("written", ["", "a b", "bücher", "a:b", "*t.co*", "a/b"])
def test_a_part_that_no_host_name_can_hold_is_refused(written):
    with pytest.raises(RefusedError, match="cannot be part of a host name"):
        host_part(written)


def test_a_part_is_compared_in_lower_case():
    assert host_part("T.co") == "t.co"


@given(st.text())
def test_a_pattern_is_read_or_refused(text):
    try:
        pattern = host_pattern(text)
    except RefusedError:
        return
    assert host_pattern(pattern) == pattern


def test_a_part_that_cannot_be_one_is_refused_with_what_may_be_written():
    with pytest.raises(RefusedError) as refused:
        host_part("a b")
    assert str(refused.value) == (
        '"a b" cannot be part of a host name; '
        'write only ASCII letters, digits, ".", "_" and "-" (names beyond ASCII travel as "xn--...")'
    )
