"""Arms and rollouts: stable for a client, in proportion over many, independent of each other."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.assignment import Assignment
from shaper.policy.verdict import Person

CLIENTS = [Person(f"client-{number}") for number in range(4_000)]
HALVES = {"control": 1.0, "treatment": 1.0}
keys = st.binary(max_size=40)
texts = st.text(max_size=20)
weights = st.dictionaries(texts, st.floats(min_value=1e-6, max_value=1e6), max_size=5)


@given(keys, texts, weights, texts)
def test_a_client_keeps_its_arm_and_place(key, study, arms, pseudonym):
    first = Assignment(key, study, arms).draw(Person(pseudonym))
    respelt = dict(reversed(arms.items()))
    assert Assignment(key, study, respelt).draw(Person(pseudonym, access="mobile")) == first


@given(keys, texts, weights, texts)
def test_a_draw_is_one_of_the_arms_and_a_place_below_one(key, study, arms, pseudonym):
    arm, place = Assignment(key, study, arms).draw(Person(pseudonym))
    assert arm in (arms or [""])
    assert 0 <= place < 1


def place_by_hand(key, study, label, pseudonym):
    digest = hmac.new(key, f"{study}\0{label}\0{pseudonym}".encode(), "sha256").digest()
    return (int.from_bytes(digest[:8], "big") // 2**11) / 2**53


@pytest.mark.parametrize("pseudonym", [f"client-{number}" for number in range(8)])
def test_whoever_has_the_key_can_draw_again_with_another_release(pseudonym):
    arm = "control" if place_by_hand(b"key", "study", "arm", pseudonym) < 0.5 else "treatment"
    place = place_by_hand(b"key", "study", "rollout", pseudonym)
    assert Assignment(b"key", "study", HALVES).draw(Person(pseudonym)) == (arm, place)


def test_what_a_shell_passes_on_undecoded_is_drawn_too():
    arm, place = Assignment(b"key", "study", HALVES).draw(Person("\udcff"))
    assert arm in HALVES
    assert 0 <= place < 1


def shares(assignment):
    drawn = [assignment.draw(person)[0] for person in CLIENTS]
    return {arm: drawn.count(arm) / len(drawn) for arm in assignment.arms}


def five_sigma(share):
    return 5 * (share * (1 - share) / len(CLIENTS)) ** 0.5


@pytest.mark.parametrize("study", ["a", "b", "c"])
@pytest.mark.parametrize("arms", [HALVES, {"control": 1.0, "slow": 2.0, "slower": 5.0}])
def test_clients_are_divided_in_proportion_to_the_weights(study, arms):
    for arm, share in shares(Assignment(b"key", study, arms)).items():
        wanted = arms[arm] / sum(arms.values())
        assert share == pytest.approx(wanted, abs=five_sigma(wanted))


@pytest.mark.parametrize("reach", [0.1, 0.5, 0.9])
def test_a_rollout_reaches_its_share_of_each_arm(reach):
    assignment = Assignment(b"key", "study", HALVES)
    draws = [assignment.draw(person) for person in CLIENTS]
    for arm in HALVES:
        places = [place for drawn, place in draws if drawn == arm]
        share = sum(place < reach for place in places) / len(places)
        assert share == pytest.approx(reach, abs=2 * five_sigma(reach))


@pytest.mark.parametrize("other", [Assignment(b"other", "study", HALVES), Assignment(b"key", "other", HALVES)])
def test_another_key_or_study_draws_anew(other):
    assignment = Assignment(b"key", "study", HALVES)
    same = sum(assignment.draw(person)[0] == other.draw(person)[0] for person in CLIENTS) / len(CLIENTS)
    assert same == pytest.approx(0.5, abs=five_sigma(0.5))


def test_a_forced_arm_is_not_drawn_but_the_place_is():
    assignment = Assignment(b"key", "study", HALVES)
    forced = assignment.draw(Person("client-1", arm="treatment"))
    assert forced == ("treatment", assignment.draw(Person("client-1"))[1])


def test_an_anonymous_client_has_no_arm_and_only_full_rollouts_reach_it():
    arm, place = Assignment(b"key", "study", HALVES).draw(Person())
    assert arm == ""
    assert 0.999_999 < place < 1
