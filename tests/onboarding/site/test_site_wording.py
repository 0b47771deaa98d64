# ruff: noqa: RUF001 (Russian letters look like English ones)
"""Every language says everything, fills in the same values, and writes numbers as its readers do."""

import re
import tomllib

import pytest
from markupsafe import Markup

from shaper.onboarding.site import wording
from shaper.onboarding.site.wording import languages

OTHERS = [code for code in languages() if code != "en"]


def flat(words, before=""):
    for key, value in words.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def marks(value):
    """Return what is filled in and what is marked up."""
    return [set(re.findall(r"\{\w+\}|<\w+", text)) for text in ([value] if isinstance(value, str) else value)]


ENGLISH = dict(flat(languages()["en"].words))


def test_there_are_two_languages_and_english_is_first():
    assert next(iter(languages())) == "en"
    assert "ru" in languages()


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_has_every_key_of_english_and_no_other(code):
    assert dict(flat(languages()[code].words)).keys() == ENGLISH.keys()


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_fills_in_and_marks_up_what_english_does(code):
    words = dict(flat(languages()[code].words))
    assert {key: marks(words[key]) for key in ENGLISH} == {key: marks(value) for key, value in ENGLISH.items()}


@pytest.mark.parametrize("code", languages())
def test_no_text_is_empty_and_no_file_names_a_key_twice(code):
    assert all(value for _, value in flat(languages()[code].words))  # TOML itself refuses a key that comes twice
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads("a = 1\na = 2")


def test_what_is_filled_in_is_escaped_and_what_we_wrote_is_not():
    said = languages()["en"]("consent.who_text", organisation="<b>Lab</b>", title="T", contact="c")
    assert "&lt;b&gt;Lab&lt;/b&gt;" in said
    assert "<strong>T</strong>" in said
    assert isinstance(said, Markup)


@pytest.mark.parametrize(
    ("bits", "english", "russian"),
    [
        (150e3, "150 kbit/s", "150 кбит/с"),
        (1.5e6, "1.5 Mbit/s", "1,5 Мбит/с"),
        (999e3, "999 kbit/s", "999 кбит/с"),
        (1e6, "1 Mbit/s", "1 Мбит/с"),
        (600 * 8, "4.8 kbit/s", "4,8 кбит/с"),
    ],
)
def test_a_rate_is_in_bits_and_in_the_language(bits, english, russian):
    assert languages()["en"].rate(bits) == english
    assert languages()["ru"].rate(bits) == russian


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (84_321, "84.3 kB"), (2_500_000, "2.5 MB"), (2e9, "2 GB")],
)
def test_a_size_is_in_bytes(count, said):
    assert languages()["en"].size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1.04, "1 s"),
        (4.56, "4.6 s"),
        (119, "119 s"),
        (7200, "2 h"),
        (90 * 86400, "90 days"),
    ],
)
def test_a_time_is_in_the_unit_that_people_would_use(seconds, said):
    assert languages()["en"].lasting(seconds) == said


@pytest.mark.parametrize(
    ("items", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c<"], "a, b and c&lt;")]
)
def test_a_list_is_a_phrase(items, said):
    assert languages()["en"].listed(items) == said


def test_a_missing_word_is_an_error_and_not_a_gap():
    with pytest.raises(KeyError):
        languages()["en"]("no.such.key")


def test_the_languages_on_offer_are_the_files_that_there_are():
    files = {file.name for file in wording.resources.files("shaper.onboarding.site").joinpath("words").iterdir()}
    assert {f"{code}.toml" for code in languages()} == files
