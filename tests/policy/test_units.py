"""Quantities: read only with their units, printed so that they read back, refused with something better to write."""

import re
from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan
from time import tzset

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shaper.policy import units
from shaper.policy.refused import RefusedError


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("150 kbit/s", 150_000),
        ("2 Mbit/s", 2_000_000),
        ("1.5 Gbit/s", 1_500_000_000),
        ("8 bit/s", 8),
        ("250 kB/s", 2_000_000),
        ("600 B/s", 4_800),
        ("1 MB/s", 8_000_000),
        ("150kbit/s", 150_000),
        (" 150 kbit/s ", 150_000),
    ],
)
def test_a_rate_is_bits_per_second_whatever_it_is_written_in(text, bits):
    assert units.parse_rate(text) == bits


@pytest.mark.parametrize(
    ("text", "size"), [("16 KiB", 16_384), ("2 kB", 2_000), ("0 B", 0), ("1.5 KiB", 1_536), ("1 GiB", 2**30)]
)
def test_a_size_is_whole_bytes(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("1 s", 1), ("20 ms", 0.02), ("10 min", 600), ("1.5 h", 5_400), ("2 d", 172_800), ("0 s", 0)]
)
def test_a_duration_is_seconds(text, seconds):
    assert units.parse_duration(text) == seconds


def test_a_share_is_a_part_of_one():
    assert units.parse_share("50 %") == 0.5
    assert units.parse_share("12.5%") == 0.125


def test_a_moment_is_kept_in_utc():
    assert units.parse_moment("2021-03-10T10:00+03:00") == datetime(2021, 3, 10, 7, tzinfo=UTC)
    assert units.parse_moment("2021-03-10 07:00:00.5Z").microsecond == 500_000


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (150, '"150 kbit/s" or "18.75 kB/s"'),
        ("150", '"150 kbit/s" or "18.75 kB/s"'),
        ("150k", '"150 kbit/s" or "18.75 kB/s"'),
        ("2 Mbps/s", '"2 Mbit/s" or "250 kB/s"'),
        ("2 Mbps", '"2 Mbit/s" or "250 kB/s"'),
        ("2 mbit/s", '"2 Mbit/s" or "250 kB/s"'),
        ("150 KBIT/S", '"150 kbit/s" or "18.75 kB/s"'),
        ("150 kb/s", '"150 kbit/s" or "18.75 kB/s"'),
        ("250 KB/s", '"250 kB/s"'),
        ("250 KiB/s", '"250 kB/s"'),
        ("250 kbytes/s", '"250 kB/s"'),
    ],
)
def test_a_near_miss_is_answered_with_what_was_probably_meant(value, remedy):
    with pytest.raises(RefusedError) as refused:
        units.parse_rate(value)
    assert refused.value.remedy == f"write {remedy}"


PARSERS = [units.parse_rate, units.parse_size, units.parse_duration, units.parse_period, units.parse_share]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1, 1.5, nan, inf, [], {}, b"1 s", "", "nan", "inf", "-1 s", "-5 kbit/s", "1e3 s", "+1 s"),
        *("1 000 B", "1,5 s", "٣ s", "1 s s", "1\n s", "kbit/s", "0x10 B", "1. s", ".5 s", "1" * 400 + " s"),
    ],
)
def test_what_is_no_quantity_is_refused(parse, value):
    with pytest.raises(RefusedError):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_rate, "0 kbit/s"),
        (units.parse_rate, "0.5 bit/s"),
        (units.parse_rate, "2000 Gbit/s"),
        (units.parse_size, "2000 GiB"),
        (units.parse_duration, "400 d"),
        (units.parse_period, "0 s"),
        (units.parse_share, "101 %"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_range(parse, text):
    with pytest.raises(RefusedError, match=r"out of range; write .+ to "):
        parse(text)


def test_part_of_a_byte_is_refused():
    with pytest.raises(RefusedError, match="whole number of bytes"):
        units.parse_size("1.5 B")


@pytest.mark.parametrize(
    "text",
    ["2021-03-10", "2021-03-10T07:00", "2021-02-30T07:00Z", "2021-03-10T25:00Z", "0001-01-01T00:00+14:00", "now", ""],
)
def test_a_moment_without_offset_or_sense_is_refused(text):
    with pytest.raises(RefusedError, match="is not a moment"):
        units.parse_moment(text)


near_misses = st.from_regex(
    r"[0-9]{1,6}(\.[0-9]{1,3})? ?[kKmMgG]?i?[bB]?(it|its|ps|yte|ytes)?(/s|/S|ps)?", fullmatch=True
)


@given(st.text(max_size=30) | near_misses | st.integers() | st.floats())
@example("900000 Gbps")
@example("0.0001")
@example("200 GBps")
@pytest.mark.parametrize("parse", [*PARSERS, units.parse_moment])
def test_every_example_in_a_remedy_is_accepted(parse, value):
    remedy = ""
    try:
        parse(value)
    except RefusedError as refused:
        remedy = refused.remedy
    for written in re.findall(r'"(.+?)"', remedy):
        parse(written)


@given(st.floats(min_value=1, max_value=1e12))
@example(0.1 + 0.2 + 1)
def test_a_rate_reads_back_as_printed(rate):
    assert units.parse_rate(units.format_rate(rate, units.EXACT)) == rate


@given(st.integers(min_value=0, max_value=2**40))
def test_a_size_reads_back_as_printed(size):
    assert units.parse_size(units.format_size(size, units.EXACT)) == size


@given(st.floats(min_value=0.001, max_value=366 * 86_400))
def test_a_duration_reads_back_as_printed(seconds):
    assert units.parse_duration(units.format_duration(seconds, units.EXACT)) == seconds


@given(st.floats(min_value=1e-9, max_value=1))
def test_a_share_reads_back_as_printed(share):
    assert units.parse_share(units.format_share(share, units.EXACT)) == share


@given(st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_reads_back_as_printed(moment):
    assert units.parse_moment(units.format_moment(moment)) == moment


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (units.format_rate(149_873.42), "149.9 kbit/s"),
        (units.format_rate(0), "0 bit/s"),
        (units.format_size(16_384), "16 KiB"),
        (units.format_size(123_456), "123.5 kB"),
        (units.format_duration(0), "0 s"),
        (units.format_duration(0.0005), "0.5 ms"),
        (units.format_duration(90.1234), "90.12 s"),
        (units.format_duration(600), "10 min"),
        (units.format_duration(5_400), "90 min"),
        (units.format_duration(172_800), "2 d"),
        (units.format_share(1 / 3), "33.33 %"),
        (units.format_rate(nan), "nan bit/s"),
        (units.format_rate(-2_000), "-2 kbit/s"),
    ],
)
def test_measured_quantities_are_printed_to_four_digits(printed, expected):
    assert printed == expected


def test_moments_are_kept_and_printed_in_utc():
    moment = units.parse_moment("2021-03-10T10:00+03:00")
    assert moment.tzinfo is UTC
    assert units.format_moment(moment.astimezone(timezone(timedelta(hours=3)))) == "2021-03-10T07:00:00Z"


@pytest.mark.parametrize("place", [i for i, char in enumerate("2021-03-10T07:00:00.5+03:00") if char.isdigit()])
def test_digits_of_other_scripts_make_no_moment(place):
    moment = "2021-03-10T07:00:00.5+03:00"
    assert units.parse_moment(moment)
    with pytest.raises(RefusedError, match="is not a moment"):
        units.parse_moment(moment[:place] + "\N{ARABIC-INDIC DIGIT ZERO}" + moment[place + 1 :])


def test_moments_are_printed_in_utc_wherever_the_machine_is(monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "<+03>-3")
        tzset()
        printed = units.format_moment(datetime(2021, 3, 10, 7, tzinfo=UTC))
    tzset()
    assert printed == "2021-03-10T07:00:00Z"


@pytest.mark.parametrize(
    ("parse", "value", "refusal"),
    [
        (units.parse_size, "1.5 B", '"1.5 B" is not a whole number of bytes; write for example "2 KiB"'),
        (units.parse_rate, "0.5 bit/s", '"0.5 bit/s" is out of range; write 1 bit/s to 1000 Gbit/s'),
        (units.parse_rate, "5", '"5" is not a rate; write "5 kbit/s" or "625 B/s"'),
        (units.parse_rate, "5 x", '"5 x" is not a rate; write "5 bit/s" or "0.625 B/s"'),
        (units.parse_rate, "0 x", '"0 x" is not a rate; write for example "150 kbit/s" or "250 kB/s"'),
        (units.parse_rate, None, '"null" is not a rate; write for example "150 kbit/s" or "250 kB/s"'),
        (
            units.parse_moment,
            2021,
            '"2021" is not a moment with a UTC offset; '
            'write for example "2021-03-10T07:00Z" or "2021-03-10T10:00+03:00"',
        ),
    ],
)
def test_a_refusal_shows_what_was_written_and_what_to_write(parse, value, refusal):
    with pytest.raises(RefusedError) as refused:
        parse(value)
    assert str(refused.value) == refusal


def test_four_digits_are_printed_unless_more_are_asked_for():
    printed = [
        units.format_rate(1_234_567.0), units.format_size(1_234_567), units.format_duration(1.234567),
        units.format_share(0.1234567),
    ]  # fmt: skip
    assert printed == ["1.235 Mbit/s", "1.235 MB", "1.235 s", "12.35 %"]


@pytest.mark.parametrize(
    ("kind", "description", "good", "bad"),
    [
        (units.Rate, "A rate", "150 kbit/s", "150 kbit/s or so"),
        (units.Size, "A size", "2 KiB", "about 2 KiB"),
        (units.Duration, "A duration", "20 ms", "20"),
        (units.Period, "A duration", "10 min", "10 m"),
        (units.Share, "A share", "50 %", "0.5"),
        (units.Moment, "A date with a time and a UTC offset", "2021-03-10T07:00Z", "2021-03-10T07:00"),
    ],
)
def test_editors_are_told_how_each_kind_of_quantity_is_written(kind, description, good, bad):
    schema = TypeAdapter(kind).json_schema()
    assert (schema["type"], schema["description"]) == ("string", description)
    assert [bool(re.search(schema["pattern"], text)) for text in (good, bad)] == [True, False]
