"""The order of measurement: balanced, repeatable, and complete."""

import random
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.measure.order import latin_square, steps

PAIRS = [("h1", "photo"), ("h1", "script"), ("chromium", "page")]
names = st.lists(st.text("abc-.", min_size=1, max_size=3), min_size=1, max_size=5, unique=True)
pairs = st.lists(st.tuples(st.text("a-", min_size=1), st.text("b-", min_size=1)), min_size=1, max_size=4, unique=True)


def taken(arms="xyz", blocks=6, seed=1, latin=False, pairs=PAIRS):
    return list(steps(list(arms), pairs, blocks, seed, latin=latin))


@given(arms=names, pairs=pairs, blocks=st.integers(1, 7), seed=st.integers(), latin=st.booleans())
def test_every_sample_is_taken_once_and_blocks_lie_back_to_back(arms, pairs, blocks, seed, latin):
    found = taken(arms, blocks, seed, latin, pairs)
    assert len({step.id for step in found}) == len(found) == len(arms) * len(pairs) * blocks
    assert Counter((step.arm, step.probe, step.object) for step in found) == {
        (arm, *pair): blocks for arm in arms for pair in pairs
    }
    together = [list(same) for _, same in groupby(found, key=lambda step: step.block)]
    assert len(together) == len(pairs) * blocks
    for block in together:
        assert sorted(step.arm for step in block) == sorted(arms)
        assert [step.order for step in block] == list(range(len(arms)))


@pytest.mark.parametrize("latin", [False, True])
def test_the_same_seed_gives_the_same_order_and_another_one_another(latin):
    assert taken(seed=7, latin=latin) == taken(seed=7, latin=latin)
    assert taken(seed=7, latin=latin) != taken(seed=8, latin=latin)


def test_in_a_latin_square_each_arm_is_at_each_place_equally_often():
    places = Counter((step.arm, step.order, step.object) for step in taken(blocks=9, latin=True))
    assert set(places.values()) == {3}
    assert len(places) == 3 * 3 * len(PAIRS)


def test_a_latin_square_is_one():
    square = latin_square("abcd", random.Random(3))
    assert all(sorted(line) == list("abcd") for line in [*square, *zip(*square, strict=True)])


def test_random_order_favours_no_place():
    places = Counter((step.arm, step.order) for step in taken(arms="xy", blocks=400, pairs=PAIRS[:1]))
    assert all(140 < count < 260 for count in places.values())  # 6 standard deviations about 200


def test_objects_take_turns_within_a_round():
    rounds = [[step.object for step in taken() if step.block.startswith(f"{n:03d}")][::3] for n in range(6)]
    assert all(sorted(each) == ["page", "photo", "script"] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
