"""Values in messages stay on one line and short, whatever they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.refused import RefusedError, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", '"a b"'),
        (150, '"150"'),
        (True, '"true"'),
        (None, '"null"'),
        ("a\nb", '"a\N{REPLACEMENT CHARACTER}b"'),
        ("x" * 61, f'"{60 * "x"}"'),
    ],
)
def test_a_value_is_shown_as_a_file_says_it(value, text):
    assert shown(value) == text


@given(st.text())
def test_a_shown_value_is_printable_and_short(value):
    assert shown(value).isprintable()
    assert len(shown(value)) <= 62


def test_a_refusal_says_problem_and_remedy():
    assert str(RefusedError("this is wrong", "write that")) == "this is wrong; write that"
