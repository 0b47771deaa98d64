"""Pseudonyms are stable within a study, unlinkable between studies and gone with their key."""

from shaper.onboarding.pseudonym import Pseudonyms


def test_a_person_has_one_pseudonym_in_a_study(tmp_path):
    first, again = (Pseudonyms.of_study(tmp_path, "study") for _ in range(2))
    assert first.of("id-1") == again.of("id-1") != first.of("id-2")
    assert len(first.of("id-1")) == 16
    assert first.of("id-1").isalnum()


def test_another_study_gives_another_one(tmp_path):
    assert Pseudonyms.of_study(tmp_path, "a").of("id-1") != Pseudonyms.of_study(tmp_path, "b").of("id-1")


def test_deleting_the_key_cuts_the_link_for_good(tmp_path):
    before = Pseudonyms.of_study(tmp_path, "study").of("id-1")
    (tmp_path / "pseudonyms-study.key").unlink()
    assert Pseudonyms.of_study(tmp_path, "study").of("id-1") != before
