"""What a page is told of the shaper's part."""

from datetime import UTC, datetime

from mitmproxy import http

from shaper.policy.load import loads
from shaper.policy.verdict import Reason, Verdict
from shaper.proxy.server_timing import announce, sum_up
from shaper.record.live import LiveTransfer

POLICY = loads(
    """
version: 1
study: timing
server_timing: true
targets: {t: {hosts: [example.org]}}
rules: [{name: photos, target: t, media: [image], caps: [{rate: 150 kbit/s}]}]
""",
    "timing.yaml",
)
RULE = POLICY.rules[0]
MATCHED = Verdict(Reason.MATCHED, target="t", rule=RULE, limits=RULE.limits)


def live():
    transfer = LiveTransfer(policy=POLICY, start=100.0, wall=datetime.now(UTC))
    transfer.judged(MATCHED, 100.25)
    return transfer


def test_the_header_tells_the_origins_part_and_the_decision():
    response = http.Response.make()
    announce(response, MATCHED, live())
    assert response.headers["server-timing"] == 'origin;dur=250.0, shaper;desc="photos 150 kbit/s"'
    assert response.headers["timing-allow-origin"] == "*"


def test_an_origins_own_headers_stay():
    response = http.Response.make(headers={"server-timing": "db;dur=3", "timing-allow-origin": "https://a.example"})
    announce(response, Verdict(Reason.NO_RULE, target="t"), live())
    assert response.headers.get_all("server-timing") == ["db;dur=3", 'origin;dur=250.0, shaper;desc="no-rule"']
    assert response.headers["timing-allow-origin"] == "https://a.example"


def test_the_trailer_tells_where_the_bodys_time_went():
    response, transfer = http.Response.make(), live()
    transfer.ledger.enter("shaper", 100.5)
    transfer.ledger.enter("client", 103.5)
    transfer.ledger.enter("receiving", 104.0)
    sum_up(response, transfer)
    assert response.trailers["server-timing"] == "receiving;dur=250.0, held;dur=3000.0, stalled;dur=500.0"
