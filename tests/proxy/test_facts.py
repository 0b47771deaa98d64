import pytest
from mitmproxy import http

from shaper.proxy.facts import LONGEST, host_of, protocol, request_facts, response_facts


def flow(request=(), response=(), **parts):
    flow = http.HTTPFlow.__new__(http.HTTPFlow)
    flow.request = http.Request.make("get", "http://www.media.test/photo.jpg?size=9")
    flow.request.headers = http.Headers(request)
    flow.response = http.Response.make(parts.get("status", 200))
    flow.response.headers = http.Headers(response)
    if "length" in parts:
        flow.response.headers["content-length"] = parts["length"]
    return flow


def test_a_response_is_told_by_its_headers_and_its_first_bytes():
    facts = response_facts(
        flow(
            [(b"sec-fetch-dest", b" Image ")], [(b"content-type", b"image/png"), (b"content-type", b"x/y")], length="12"
        ),
        "WWW.media.test",
        b"\x89PNG",
    )
    assert (facts.host, facts.method, facts.status, facts.path) == ("WWW.media.test", "GET", 200, "/photo.jpg?size=9")
    assert (facts.content_type, facts.content_length) == (("image/png", "x/y"), 12)
    assert (facts.fetch_dest, facts.head, facts.up, facts.upgrade) == ("image", b"\x89PNG", False, False)


def test_what_is_remembered_is_short():
    long = flow([(b"host", b"a" * 60_000 + b".media.test")], [(b"content-type", b"image/png;" + b"x" * 60_000)] * 99)
    assert host_of(long.request) == ""
    assert host_of(flow([(b"host", b"www.media.test")]).request) == "www.media.test"
    kinds = response_facts(long, "h").content_type
    assert all(kind.startswith("image/png;") and len(kind) <= LONGEST for kind in kinds)
    assert len(kinds) == 8


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"GZIP, br", b"zstd"])
def test_compressed_bytes_prove_nothing(coding):
    assert response_facts(flow([], [(b"content-encoding", coding)]), "h", b"\x1f\x8b").head == b""
    assert request_facts(flow([(b"content-encoding", coding)]), "h", b"\x1f\x8b").head == b""


def test_bytes_from_the_middle_prove_nothing():
    later = flow([], [(b"content-range", b"bytes 100-200/500")], status=206)
    first = flow([], [(b"content-range", b"bytes 0-200/500")], status=206)
    assert response_facts(later, "h", b"abc").head == b""
    assert response_facts(first, "h", b"abc").head == b"abc"


@pytest.mark.parametrize("coding", [b"identity", b" Identity "])
def test_identity_is_no_compression(coding):
    assert response_facts(flow([], [(b"content-encoding", coding)]), "h", b"abc").head == b"abc"


@pytest.mark.parametrize(
    ("length", "known"), [("0", 0), ("7", 7), ("+7", None), ("-1", None), ("7, 7", None), ("many", None)]
)
def test_a_length_that_makes_no_sense_is_unknown(length, known):
    assert response_facts(flow(length=length), "h").content_length == known


def test_a_switch_of_protocols_is_told():
    assert response_facts(flow(status=101), "h").upgrade


def test_an_upload_is_judged_by_its_own_headers():
    facts = request_facts(flow([(b"content-type", b"video/mp4")], [(b"content-type", b"text/html")]), "h", b"....ftyp")
    assert (facts.content_type, facts.up, facts.head) == (("video/mp4",), True, b"....ftyp")


@pytest.mark.parametrize(
    ("version", "short"), [("HTTP/1.0", "h1"), ("HTTP/1.1", "h1"), ("HTTP/2.0", "h2"), ("HTTP/3", "h3")]
)
def test_protocols_have_short_names(version, short):
    assert protocol(version) == short
