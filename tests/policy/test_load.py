"""Policy files: what is read, what is refused and with which line, and that no bytes lead to anything else."""
# ruff: noqa: E501 - one case a line

import os
import re
from pathlib import Path
from time import process_time

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shaper.policy.load import MAX_BYTES, PolicyError, load, loads, quick
from shaper.policy.media import MediaClass
from shaper.policy.model import Policy

GOOD = """\
version: 1
study: twitter-2021-announced
description: Photos and video from Twitter's media hosts, as announced in March 2021
sources: ["https://censoredplanet.org/throttling", "…"]
targets:
  twitter-media: {hosts: ["*.twimg.com", "twimg.com"]}
rules:
  - name: photos-and-video
    target: twitter-media
    media: [image, video]
    caps: [{scope: response, rate: 150 kbit/s, burst: 2 KiB}]
"""


def refusal(old, new):
    assert old in GOOD
    with pytest.raises(PolicyError) as refused:
        loads(GOOD.replace(old, new, 1), "lab.yaml")
    return str(refused.value)


def test_a_policy_is_read_as_it_is_written():
    policy = loads(GOOD, "lab.yaml")
    (rule,) = policy.rules
    (cap,) = rule.caps
    assert (policy.study, policy.sources[1]) == ("twitter-2021-announced", "…")
    assert policy.targets["twitter-media"].hosts == ("*.twimg.com", "twimg.com")
    assert (rule.media, cap.rate, cap.burst) == ((MediaClass.IMAGE, MediaClass.VIDEO), 150_000, 2_048)


def test_a_policy_is_read_from_a_file_even_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(file) == loads(GOOD, "elsewhere")


@pytest.mark.parametrize("rate", ["150 kbit/s", "123456.789 bit/s"])
def test_what_a_policy_says_of_itself_is_read_as_the_same_policy(rate):
    policy = loads(GOOD.replace("150 kbit/s", rate), "lab.yaml")
    again = Policy.model_validate(policy.model_dump(mode="json", exclude_defaults=True))
    assert (again, again.digest) == (policy, policy.digest)


def test_a_digest_is_of_the_meaning_and_not_of_the_spelling():
    respelt = GOOD.replace("150 kbit/s", "0.15 Mbit/s").replace("2 KiB", "2048 B").replace("twimg.com", "TWIMG.com.")
    assert loads(respelt, "lab.yaml").digest == loads(GOOD, "lab.yaml").digest
    assert loads(GOOD.replace("150", "151"), "lab.yaml").digest != loads(GOOD, "lab.yaml").digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("150 kbit/s", "150", '11: rule "photos-and-video": "150" is not a rate; write "150 kbit/s" or "18.75 kB/s"'),
        ("150 kbit/s", "2 Mbps/s", '11: rule "photos-and-video": "2 Mbps/s" is not a rate; write "2 Mbit/s" or "250 kB/s"'),
        ("150 kbit/s", "[]", '11: rule "photos-and-video": "[]" is not a rate; write for example "150 kbit/s" or "250 kB/s"'),
        ("rate:", "rat:", '11: rule "photos-and-video": unknown key "rat"; did you mean "rate"?'),
        ("rate: 150 kbit/s, ", "", '11: rule "photos-and-video": "rate" is missing; add it'),
        ("scope: response", "scope: responses", '11: rule "photos-and-video": "responses" is not known; did you mean "response"?'),
        ("[image, video]", "image", '10: rule "photos-and-video": "image" is not a list; put it in [ ]'),
        ("[image, video]", "[image, film]", '10: rule "photos-and-video": "film" is not known; write "image", "video", "audio" or "other"'),
        ("target: twitter-media", "target: twitter", '9: rule "photos-and-video": there is no target "twitter"; did you mean "twitter-media"?'),
        ("target: twitter-media", "target: tumblr", '9: rule "photos-and-video": there is no target "tumblr"; define it under targets'),
        ("name: photos-and-video", "name: a b", '8: rule "a b": "a b" is not a name; use up to 64 of A-Z, a-z, 0-9, ".", "_" and "-"'),
        ("name: photos-and-video\n    target", "target", '8: rule 1: "name" is missing; add it'),
        ('"*.twimg.com"', "twimg.com:443", '6: target "twitter-media": "twimg.com:443" is not a host pattern; write only the host, "twimg.com"'),
        ('"*.twimg.com"', "5", '6: target "twitter-media": "5" is not text; put it in quotes'),
        ('"*.twimg.com"', "{contain: t}", '6: target "twitter-media": unknown key "contain"; did you mean "contains"?'),
        ('["*.twimg.com", "twimg.com"]', "[]", '6: target "twitter-media": no hosts; write at least one'),
        ("version: 1", "version: 2", '1: version: "2" is not known; write 1'),
        ("version: 1\n", "", '1: "version" is missing; add it'),
        ("study: twitter", "study: 5 #", '2: study: "5" is not text; put it in quotes'),
        ("study: ", "color: red\nstudy: ", '2: color: unknown key "color"; the keys here are version, study, '),
        ("version: 1", "version: 1\nversion: 1", '2: the key "version" is there twice, first on line 1; keep one of them'),
        ("version: 1", "mode: on\nversion: 1", '1: mode: "on" is not known; write "enforce" or "shadow"'),
        ("version: 1", "arms: {a: .inf}\nversion: 1", '1: arm "a": ".inf": input should be a valid number'),
        ("version: 1", "arms: {a: nan}\nversion: 1", '1: arm "a": "nan": input should be '),
        ("version: 1", "arms: 5\nversion: 1", '1: arms: "5" is not a mapping; write key: value'),
        ("version: 1", "phases: [{name: p, start: 2021-03-10}]\nversion: 1", '1: phase "p": "2021-03-10" is not a moment with a UTC offset'),
        ("version: 1", "phases: [5]\nversion: 1", '1: phase 1: "5" is not a mapping; write key: value'),
        ("targets:", "targets: &all", "5: targets: anchors and aliases are not read; write the value out"),
        ("version: 1", "version: *one", "1: version: anchors and aliases are not read; write the value out"),
        ("study: ", "study: !!str ", '2: study: the tag "tag:yaml.org,2002:str" is not read; remove it'),
        ("[image, video]", "! [image]", '10: rule 1: the tag "!" is not read; remove it'),
        ("version: 1", "? [version]\n: 1", "1: a key is not plain text; write key: value"),
        ("version: 1", "version: " + "[" * 17, "1: version: nested too deeply; see docs/policy.md for the shape"),
        ("version: 1", "version: " + "[" * 16 + "]" * 16, '1: version: "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]" is not known; write 1'),
        ("version: 1", "version: " + "[" * 9_999, "1: not YAML: exceeded maximum nesting depth; check indentation"),
        ("version: 1", "\tversion: 1", "1: not YAML: found character that cannot start any token; check indentation"),
        ("version: 1", "version: 1\x00", "1: holds a control character; remove it"),
        (GOOD, GOOD + "---\nversion: 1\n", "12: a second document begins; keep one policy in a file"),
        (GOOD, "", "1: empty; write a policy; policies/example.yaml is one"),
        (GOOD, "# nothing\n", "1: empty; write a policy; policies/example.yaml is one"),
        (GOOD, "policy", '1: "policy" is not a mapping; write key: value'),
    ],
)  # fmt: skip
def test_a_bad_policy_is_refused_with_line_subject_and_remedy(old, new, message):
    assert refusal(old, new).startswith(f"lab.yaml:{message}")


def test_every_problem_that_was_found_is_told_in_the_order_of_lines():
    bad = GOOD.replace("150 kbit/s", "150").replace("[image, video]", "[film]")
    with pytest.raises(PolicyError) as refused:
        loads(bad, "lab.yaml")
    assert [error.line for error in (refused.value, *refused.value.further)] == [10, 11]
    with pytest.raises(PolicyError) as refused:
        loads(GOOD.replace("version: 1\n", "").replace("150 kbit/s", "150") + "version: 2\n", "lab.yaml")
    assert [error.line for error in (refused.value, *refused.value.further)] == [10, 11]


def test_what_is_wrong_in_no_way_that_was_foreseen_is_told_with_where_to_read_on():
    assert refusal("version: 1", "arms: {a: -1}\nversion: 1").endswith("; see docs/policy.md")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8 text; save the file as UTF-8"),
        ("\ud800", "not UTF-8 text; save the file as UTF-8"),
        ("#" * (MAX_BYTES + 1), "larger than 4 MiB; split the study into several policies"),
    ],
)
def test_a_file_that_is_no_reasonable_text_is_refused(content, message):
    with pytest.raises(PolicyError) as refused:
        loads(content, "lab.yaml")
    assert (str(refused.value), refused.value.subject) == (f"lab.yaml: {message}", "")


def test_a_policy_may_fill_what_is_read_of_a_file():
    assert loads(GOOD.ljust(MAX_BYTES, "\n"), "lab.yaml") == loads(GOOD, "lab.yaml")


@pytest.mark.parametrize("name", ["missing.yaml", ".", "\0"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(PolicyError, match=r"cannot be read: .+; check the path"):
        load(tmp_path / name)


def test_an_alias_bomb_is_refused_at_its_first_anchor():
    bomb = "a: &a [x]\n" + "\n".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(PolicyError, match="anchors and aliases are not read"):
        loads(bomb, "lab.yaml")


def test_ten_thousand_host_patterns_load_within_a_second():
    hosts = "\n".join(f'    - "*.host{number}.example{number % 97}.org"' for number in range(10_000))
    big = GOOD.replace('{hosts: ["*.twimg.com", "twimg.com"]}', f"\n   hosts:\n{hosts}")
    start = process_time()
    policy = loads(big, "big.yaml")
    assert process_time() - start < 1
    assert len(policy.targets["twitter-media"].hosts) == 10_000


def only_a_policy_or_a_one_line_error(content):
    message = ""
    try:
        policy = loads(content, "fuzz.yaml")
    except PolicyError as error:
        message = str(error)
    assert re.fullmatch(r"fuzz\.yaml(:[0-9]+)?: [^\n]+; [^\n]+", message) or policy.version == 1


@given(st.binary(max_size=200))
@example(b"{")
@example(b"- - -")
@example(b"%YAML 3.0\n---\na")
@example(b"%TAG ! tag:x,2000:\n---\n!a b")
def test_any_bytes_are_a_policy_or_refused_in_one_line(content):
    only_a_policy_or_a_one_line_error(content)


CHARACTERS = " \n\t\"'[]{}:,-?!&*|>%@`#~=é\x85\u2028\ufeff"
WORDS = [": ", "- ", "<<", "---", "...", "!!binary", "&a", "*a", "null", "true", "9" * 30, "1e9", "0x1F", "1:30"]
TOKENS = st.sampled_from([*CHARACTERS, *WORDS, "2021-03-10", "rules", "name", "caps", "image"])


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 20), TOKENS), max_size=4))
def test_any_damage_to_a_policy_is_survived_or_refused_in_one_line(damage):
    content = GOOD
    for start, length, token in damage:
        content = content[:start] + token + content[start + length :]
    only_a_policy_or_a_one_line_error(content)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["1 s", "150 kbit/s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*"ab", "hosts", "name", "contains", "caps", "rate"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(Policy.model_fields)), values, max_size=6))
def test_any_data_of_the_wrong_shape_is_refused_in_one_line(data):
    only_a_policy_or_a_one_line_error(yaml.safe_dump(data | {"version": 2}))


def test_a_quick_limit_is_a_policy():
    policy = quick(["image,video *.twimg.com 150 kbit/s", "audio a.example,b.example 2 Mbit/s"])
    photos, audio = policy.rules
    assert [target.hosts for target in policy.targets.values()] == [("*.twimg.com",), ("a.example", "b.example")]
    assert (photos.media, photos.caps[0].rate) == ((MediaClass.IMAGE, MediaClass.VIDEO), 150_000)
    assert (audio.media, audio.caps[0].rate) == ((MediaClass.AUDIO,), 2_000_000)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (["image"], '--limit: "image" is not a limit; write for example "image,video *.twimg.com 150 kbit/s"'),
        ([""], '--limit: "" is not a limit; write for example "image,video *.twimg.com 150 kbit/s"'),
        ([], '--limit: no targets; write for example "image,video *.twimg.com 150 kbit/s"'),
        (["image a.example 150"], '--limit: "150" is not a rate; write "150 kbit/s" or "18.75 kB/s"'),
        (["picture a.example 1 kB/s"], '--limit: "picture" is not known; write "image", "video", "audio" or "other"'),
    ],
)
def test_a_bad_quick_limit_is_refused_in_one_line(limits, message):
    with pytest.raises(PolicyError) as refused:
        quick(limits)
    assert str(refused.value) == message


def test_an_error_can_be_taken_apart():
    with pytest.raises(PolicyError) as refused:
        loads(GOOD.replace("150 kbit/s", "2 Mbps/s").replace("version: 1", "version: 2"), "lab.yaml")
    first = refused.value
    (second,) = first.further
    assert (first.place, first.line, first.subject) == ("lab.yaml", 1, "version")
    assert (second.place, second.line, second.subject) == ("lab.yaml", 11, 'rule "photos-and-video"')
    with pytest.raises(PolicyError) as refused:
        loads("", "lab.yaml")
    assert (refused.value.line, refused.value.subject) == (1, "")
    assert (second.problem, second.further) == ('"2 Mbps/s" is not a rate', ())
    assert str(second) == f"lab.yaml:11: {second.subject}: {second.problem}; {second.remedy}"


@pytest.mark.parametrize(("name", "problem"), [("absent.yaml", "No such file or directory"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, problem):
    with pytest.raises(PolicyError) as refused:
        load(tmp_path / name)
    assert str(refused.value) == f"{tmp_path / name}: cannot be read: {problem}; check the path"
    assert refused.value.subject == ""


def test_a_path_that_cannot_be_one_is_refused_too():
    with pytest.raises(PolicyError, match="embedded null byte"):
        load(Path("a\0b"))


def test_a_file_is_named_in_what_is_wrong_with_it_and_read_only_so_far(tmp_path):
    path = tmp_path / "lab.yaml"
    path.write_text(GOOD.replace("version: 1", "version: 2"))
    with pytest.raises(PolicyError, match=f"^{path}:1: version: "):
        load(path)
    os.truncate(path, 2**40)  # no memory holds all of it
    with pytest.raises(PolicyError, match="larger than 4 MiB"):
        load(path)


def test_what_is_quoted_stays_text_and_what_is_not_is_read():
    assert loads(GOOD.replace("study: twitter-2021-announced", 'study: "2021"'), "lab.yaml").study == "2021"
    assert '"null" is not text' in refusal(
        "description: Photos and video from Twitter's media hosts", "description: null # "
    )


def test_keys_are_plain_text_on_the_line_that_is_named():
    for key in ("&a b", "!!str b", "&a !!str b", "[b]"):
        with pytest.raises(PolicyError) as refused:
            loads(f"version: 1\nrules:\n  - name: r\n    {key}: c\n", "lab.yaml")
        assert str(refused.value).startswith("lab.yaml:4: rule 1: a key is not plain text")
    with pytest.raises(PolicyError, match=r"^lab.yaml:4: rule 1: the key"):
        loads("version: 1\nrules:\n  - name: r\n    name: q\n", "lab.yaml")


def test_a_control_character_is_found_on_its_line():
    with pytest.raises(PolicyError, match=r"^lab.yaml:3: holds a control character"):
        loads("version: 1\nstudy: x\ndescription: \x07\n", "lab.yaml")


def test_quick_limits_are_numbered_from_one_and_refused_in_one_line():
    policy = quick(["image *.a.example 5 kbit/s", "video b.example 6 kbit/s"])
    assert (policy.study, [rule.name for rule in policy.rules]) == ("quick", ["limit-1", "limit-2"])
    with pytest.raises(PolicyError) as refused:
        quick(["image b"])
    assert (refused.value.subject, refused.value.place) == ("", "--limit")
    with pytest.raises(PolicyError) as refused:
        quick(["vide b.example 5 kbit/s"])
    assert str(refused.value) == '--limit: "vide" is not known; did you mean "video"?'
    assert refused.value.subject == ""
