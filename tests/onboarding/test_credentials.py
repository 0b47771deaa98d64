"""Credentials are long, random, readable aloud, and stored only as a keyed hash."""

from hypothesis import given
from hypothesis import strategies as st

from shaper.onboarding.credentials import BITS, Credential


def test_no_two_are_alike_and_the_password_has_160_bits():
    made = [Credential.new() for _ in range(100)]
    assert len({one.username for one in made}) == len({one.password for one in made}) == 100
    assert all(len(one.password) * 5 == BITS == 160 for one in made)


def test_a_link_carries_both_parts():
    credential = Credential.new()
    assert Credential.parse(credential.token) == credential


@given(st.text())
def test_whatever_a_link_carries_is_a_credential_or_nothing(text):
    found = Credential.parse(text)
    assert found is None or found.token == text


def test_the_digest_depends_on_the_key_and_on_each_part():
    one = Credential("ab", "c")
    assert one.digest(b"k") == Credential("ab", "c").digest(b"k")
    others = [one.digest(b"l"), Credential("a", "bc").digest(b"k"), Credential("ab", "d").digest(b"k")]
    assert one.digest(b"k") not in others
