"""Through the real proxy, each response is taken for what it is, by the evidence that tells."""

import pytest

from shaper.measure.run import Outcome
from tests.e2e.conftest import policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

JPEG, SVG, SCRIPT, FONT = "/photos/dawn.jpg", "/photos/leaves.svg", "/page.js", "/fonts/bold.woff2"
SEGMENT, PLAYLIST, HEADER = "/video/high/0.m4s", "/video/high/stream.m3u8", "/video/high/init.mp4"
GENERIC, FOR_IMAGE = "application/octet-stream", [("sec-fetch-dest", "image")]
RANGES = [("range", "bytes=0-999,2000-2999")]
TYPES = [
    (JPEG, "IMAGE/Jpeg;%20q=1", (), ("image", "content-type")),
    (JPEG, "", (), ("image", "sniffed")),
    (JPEG, GENERIC, (), ("image", "sniffed")),
    (JPEG, "text/plain", (), ("image", "sniffed")),
    (JPEG, "garbage", (), ("image", "sniffed")),
    (JPEG, "text/html", (), ("other", "content-type")),
    (JPEG, "text/html", FOR_IMAGE, ("image", "sniffed")),
    (JPEG, "multipart/x-mixed-replace;boundary=x", (), ("video", "content-type")),
    (SVG, None, (), ("image", "content-type")),
    (SVG, "", (), ("image", "sniffed")),
    (SCRIPT, "image/jpeg", (), ("other", "sniffed")),
    (SCRIPT, "", (), ("other", "sniffed")),
    (FONT, None, (), ("other", "content-type")),
    (FONT, "", (), ("other", "none")),
    (SEGMENT, None, (), ("video", "content-type")),
    (SEGMENT, GENERIC, (), ("video", "sniffed")),
    (SEGMENT, "video/mp2t", (), ("video", "content-type")),
    (HEADER, f"{GENERIC}&framing=chunked&chunk=1", (), ("video", "sniffed")),
    (HEADER, "&framing=chunked&chunk=1", (), ("video", "sniffed")),
    (PLAYLIST, None, (), ("other", "content-type")),
    (PLAYLIST, "", (), ("other", "sniffed")),
    (PLAYLIST, "audio/mpegurl", (), ("other", "content-type")),
    ("/bytes?size=5000", None, (), ("other", "none")),
    ("/bytes?size=5000", None, FOR_IMAGE, ("image", "sec-fetch-dest")),
    ("/video/train.mp4", None, RANGES, ("video", "content-type")),
    (SCRIPT, None, RANGES, ("other", "content-type")),
]


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("origin", ["h1", "h2"])
async def test_each_response_is_taken_for_what_it_is(lab, client, origin):
    with lab.using(policy("800 Mbit/s")):
        for path, kind, headers, expected in TYPES:
            already = len(lab.records)
            target = path if kind is None else f"{path}{'&' if '?' in path else '?'}type={kind}"
            got = await lab.fetch(target, client, origin, headers=headers, timeout=10)
            assert (got.outcome, await lab.settled()) == (Outcome.COMPLETE, True), target
            (record,) = lab.records[already:]
            reason = "no-rule" if expected[0] == "other" else "matched"
            assert (record.media, record.evidence, record.reason) == (*expected, reason), target
