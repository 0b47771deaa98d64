"""The classifier against its golden table, against real files, and against its laws."""

import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from shaper.policy.content_type import _remembered, essence
from shaper.policy.media import HEAD, Evidence, MediaClass, classify, needs_head

GOLDEN = yaml.safe_load((Path(__file__).parents[1] / "golden" / "media.yaml").read_text())


def spelled_out(case):
    """A case with `each` stands for as many, with each of its words in place of $."""
    for word in case.pop("each", "$").split():
        yield {key: value.replace("$", word) if isinstance(value, str) else value for key, value in case.items()}


CASES = [case for written in GOLDEN["cases"] for case in spelled_out(written)]


def beginning(notation):
    def read(word):
        if word.startswith("+"):
            return bytes(int(word))
        return word[1:-1].encode() if word.startswith("'") else bytes.fromhex(word)

    return b"".join(map(read, notation.split(" ")))


HEADS = {name: beginning(notation) for name, notation in GOLDEN["heads"].items()}


def facts(case):
    values = case.get("type", [])
    values = [values] if isinstance(values, str) else values
    return values, HEADS[case["head"]] if "head" in case else b"", case.get("dest", ""), case.get("path", "")


def test_the_table_is_large_and_every_head_in_it_is_used():
    assert len(CASES) >= 120
    assert HEADS.keys() == {case["head"] for case in CASES if "head" in case}
    assert len({repr(facts(case)) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_a_message_is_classified_as_the_table_says(case):
    assert classify(*facts(case)) == (case["is"], case["by"])


@pytest.mark.parametrize("case", [case for case in CASES if "head" in case], ids=lambda case: case["why"])
def test_where_the_bytes_change_the_answer_they_are_asked_for(case):
    values, head, dest, path = facts(case)
    if classify(values, head, dest, path) != classify(values, b"", dest, path):
        assert needs_head(values, dest)


# Real files, which a generic type must not hide: class → what ffmpeg is to write.
PICTURE = "-map 0:v -frames:v 1"
FILM = "-map 0:v -c:v"
SOUND = "-map 1:a -c:a"
FILES = {
    "image": [
        *(f"{PICTURE} still.{kind}" for kind in ("bmp", "gif", "jp2", "jpg", "png", "tiff", "webp")),
        "-map 0:v moving.gif",
    ],
    "video": [
        *(f"{FILM} mpeg4 film.{kind}" for kind in ("avi", "mkv", "mov", "mp4")),
        *(f"{FILM} mpeg2video film.{kind}" for kind in ("m2ts", "mpg", "ts")),
        f"{FILM} flv1 film.flv",
        f"{FILM} h263 film.3gp",
        f"{FILM} libtheora film.ogv",
        f"{FILM} libvpx film.webm",
        f"{FILM} wmv2 film.wmv",
        f"{FILM} mpeg4 -movflags frag_keyframe+empty_moov fragmented.mp4",
        f"{FILM} mpeg4 -f hls -hls_segment_type fmp4 -hls_segment_filename hls%d.m4s hls.playlist",
        f"{FILM} libvpx -f dash -dash_segment_type webm -init_seg_name init.dash -media_seg_name 1.dash dash.playlist",
    ],
    "audio": [
        f"{SOUND} aac sound.aac",
        f"{SOUND} aac sound.m4a",
        f"{SOUND} flac sound.flac",
        f"{SOUND} libopus sound.opus",
        f"{SOUND} libmp3lame -metadata title=x tagged.mp3",
        f"{SOUND} libmp3lame -b:a 64k -id3v2_version 0 -write_xing 0 bare.mp3",
        f"{SOUND} pcm_s16le sound.wav",
    ],
}


@pytest.mark.parametrize("media", FILES)
def test_real_files_are_known_by_their_bytes(media, needs, tmp_path):
    needs("ffmpeg", "apt-get install ffmpeg")
    inputs = "-f lavfi -i testsrc2=s=128x96:d=0.3:r=25 -f lavfi -i sine=d=0.5"
    command = shlex.split(f"ffmpeg -v error {inputs} {' '.join(FILES[media])}")
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes()[:HEAD] for path in tmp_path.iterdir()}
    assert len(files) >= len(FILES[media])
    for name, head in files.items():
        expected = "other" if name.endswith(".playlist") else media
        assert classify(["application/octet-stream"], head, "", "") == (expected, Evidence.SNIFFED), name


# Laws.
TYPES = st.one_of(
    st.sampled_from(sorted({value for case in CASES for value in facts(case)[0]})),
    st.text(max_size=40),
    st.from_regex(r"[a-z*]{1,12}/[a-z0-9.+*-]{1,12}(; ?[a-z]+=\"[^\"]*\"?)?", fullmatch=True),
)
BODIES = st.builds(
    lambda start, rest: start + rest, st.sampled_from([b"", b" \n", *HEADS.values()]), st.binary(max_size=64)
)
DESTINATIONS = st.one_of(st.sampled_from(["", "image", "video", "audio", "track", "empty"]), st.text(max_size=10))


@given(st.lists(TYPES, max_size=4), BODIES, DESTINATIONS, st.text(max_size=40))
@example([], b"\n <!DOCTYPE HTM\x00", "", "")  # the sniffer alone would read past the end
def test_whatever_the_message_there_is_a_class_and_a_reason(values, head, dest, path):
    media, evidence = classify(values, head, dest, path)
    assert media in MediaClass
    assert evidence in Evidence
    assert evidence is not Evidence.NONE or media is MediaClass.OTHER
    if not head:
        assert evidence is not Evidence.SNIFFED
    if not values and not head and not dest and "." not in path:
        assert (media, evidence) == (MediaClass.OTHER, Evidence.NONE)


@given(st.lists(TYPES, max_size=3), BODIES, DESTINATIONS, st.text(max_size=20))
def test_bytes_that_were_not_asked_for_change_nothing(values, head, dest, path):
    if not needs_head(values, dest):
        assert classify(values, head, dest, path) == classify(values, b"", dest, path)


@given(st.lists(TYPES, max_size=3), BODIES, st.binary(max_size=50))
def test_bytes_beyond_the_head_change_nothing(values, head, more):
    head = head.ljust(HEAD, b"\x00")
    assert classify(values, head + more, "", "") == classify(values, head, "", "")


@given(st.lists(TYPES, max_size=3), BODIES)
def test_fields_on_several_lines_are_one_list(values, head):
    if not any('"' in value for value in values):
        assert classify(values, head, "", "") == classify([", ".join(values)], head, "", "")


@pytest.mark.parametrize("unit", [",", '"', '\\"', 'a/b;c="', "image/png,", "a", "/", " ", ";"])
def test_a_hostile_header_takes_time_in_proportion_to_its_length(unit):
    def spent(size):
        start = time.process_time()
        classify([unit * size], unit.encode() * size, unit * size, "/" + unit * size)
        return time.process_time() - start

    assert min(spent(100_000) for _ in range(3)) < 2  # quadratic time would be minutes


@pytest.mark.parametrize("field", ["*/*", "image/png, */*", "IMAGE/PNG, */*"])
def test_a_wildcard_names_no_type(field):
    assert essence([field]) == ("" if field == "*/*" else "image/png")


@pytest.mark.parametrize(("length", "remembered"), [(128, 1), (129, 0), (1000, 0)])
def test_long_fields_are_read_and_not_remembered(length, remembered):
    _remembered.cache_clear()
    assert essence(["image/png; x=".ljust(length, "y")]) == "image/png"
    assert _remembered.cache_info().currsize == remembered
