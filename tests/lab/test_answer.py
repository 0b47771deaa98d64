import gzip
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaper.lab.answer import answer
from shaper.lab.exchange import Request
from shaper.lab.knobs import Knobs, read_knobs
from shaper.lab.payload import Stream, whole

BODY = Stream(1000)
DATA = whole(BODY)


def ask(method="GET", query="", **headers):
    lower = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = Request(method, "example.org", f"/bytes?{query}", lower, "h1", 1)
    return answer(request, "image/png", BODY, read_knobs(request.query))


def test_a_plain_request_gets_the_whole_with_its_type():
    got = ask()
    assert (got.status, dict(got.headers)["content-type"], whole(got.body)) == (200, "image/png", DATA)


def test_the_type_can_be_replaced_or_left_out():
    assert dict(ask(query="type=text/x").headers)["content-type"] == "text/x"
    assert "content-type" not in dict(ask(query="type=").headers)


@pytest.mark.parametrize(
    ("asked", "span", "part"),
    [
        ("bytes=0-9", "bytes 0-9/1000", DATA[:10]),
        ("bytes=990-", "bytes 990-999/1000", DATA[990:]),
        ("bytes=-5", "bytes 995-999/1000", DATA[-5:]),
        ("bytes=900-5000", "bytes 900-999/1000", DATA[900:]),
        ("bytes=-5000", "bytes 0-999/1000", DATA),
    ],
)
def test_one_range_is_answered_with_206_and_its_bytes(asked, span, part):
    got = ask(range=asked)
    assert (got.status, dict(got.headers)["content-range"], whole(got.body)) == (206, span, part)


def test_several_ranges_are_answered_in_parts():
    got = ask(range="bytes=0-9,500-509")
    headers = "".join(f"{name}: {value}\r\n" for name, value in got.headers)
    message = message_from_bytes(headers.encode() + b"\r\n" + whole(got.body))
    parts = message.get_payload()
    assert got.status == 206
    assert [part["Content-Range"] for part in parts] == ["bytes 0-9/1000", "bytes 500-509/1000"]
    assert [part.get_content_type() for part in parts] == ["image/png", "image/png"]
    assert DATA[:10] in whole(got.body)
    assert DATA[500:510] in whole(got.body)


def test_a_range_beyond_the_end_is_refused():
    got = ask(range="bytes=1000-")
    assert (got.status, dict(got.headers)["content-range"], got.body.size) == (416, "bytes */1000", 0)


@given(st.text(max_size=30))
def test_a_range_that_cannot_be_read_gets_the_whole(text):
    assert ask(range=f"lines={text}").status == 200


def test_head_knows_no_ranges():
    assert ask(method="HEAD", range="bytes=0-9").status == 200


def test_a_known_etag_is_answered_with_304():
    etag = dict(ask().headers)["etag"]
    assert ask(if_none_match=etag).status == 304
    assert ask(if_none_match=f'"other", W/{etag}').status == 304
    assert ask(if_none_match='"other"').status == 200


def test_if_range_with_another_etag_gets_the_whole():
    etag = dict(ask().headers)["etag"]
    assert ask(range="bytes=0-9", if_range=etag).status == 206
    assert ask(range="bytes=0-9", if_range='"other"').status == 200


def test_gzip_is_a_representation_of_its_own():
    got = ask(query="encoding=gzip")
    assert dict(got.headers)["content-encoding"] == "gzip"
    assert gzip.decompress(whole(got.body)) == DATA
    assert dict(got.headers)["etag"] != dict(ask().headers)["etag"]


@pytest.mark.parametrize("status", [204, 205, 304])
def test_some_statuses_have_no_body(status):
    got = ask(query=f"status={status}")
    assert (got.status, got.body.size, "content-type" in dict(got.headers)) == (status, 0, False)


def test_an_error_may_carry_a_picture():
    got = ask(query="status=404")
    assert (got.status, dict(got.headers)["content-type"], got.body.size) == (404, "image/png", 1000)


@pytest.mark.parametrize("query", ["size=-1", "size=many", "rate=1000", "framing=guess", "status=99", "delay=nan"])
def test_a_knob_that_makes_no_sense_is_refused(query):
    with pytest.raises(ValueError, match=query.split("=")[0]):
        read_knobs(dict([query.split("=")]))


def test_writes_are_no_larger_than_the_chunk_nor_than_20_ms_of_the_rate():
    assert read_knobs({"chunk": "100"}).piece == 100
    assert read_knobs({"rate": "150 kbit/s"}).piece == 375
    assert read_knobs({"rate": "150 kbit/s", "chunk": "100"}).piece == 100
    assert Knobs().piece == 64 * 1024
