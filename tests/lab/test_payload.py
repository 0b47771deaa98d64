from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.lab.payload import BLOCK, Stored, Stream, digest, whole

SIZE = 3 * BLOCK + 17
STREAM = whole(Stream(SIZE))


@pytest.mark.parametrize("body", [Stored(STREAM), Stream(SIZE)], ids=["stored", "stream"])
@given(start=st.integers(0, SIZE), length=st.integers(0, SIZE))
def test_any_part_is_that_slice_of_the_whole(body, start, length):
    stop = min(start + length, SIZE)
    assert b"".join(body.part(start, stop)) == STREAM[start:stop]


def test_no_two_blocks_of_the_stream_are_alike():
    blocks = list(Stream(50 * BLOCK).part(0, 50 * BLOCK))
    assert len(set(blocks)) == len(blocks) == 50


def test_a_longer_stream_begins_as_a_shorter_one():
    assert whole(Stream(2 * BLOCK)) == STREAM[: 2 * BLOCK]


@given(st.binary())
def test_the_digest_is_that_of_the_whole(data):
    assert digest(Stored(data)) == sha256(data).hexdigest()
