"""A proxy's parts around one fake connection."""

from types import SimpleNamespace

import pytest
from mitmproxy.proxy.layers.http import HTTPMode

from shaper.policy.admission import Standing
from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.proxy.shaping import Shaping
from shaper.proxy.stream import ShapedHttpLayer
from shaper.proxy.visitor import Visitor
from shaper.record.metrics import Metrics
from tests.proxy.playbook import Playbook, turn_clock

POLICY = """
version: 1
study: transcripts
targets: {media: {hosts: ["*.media.test"]}}
rules:
  - {name: slow, target: media, media: [image, video], caps: [{rate: 8 kbit/s, burst: 100 B}]}
"""


def policy(**rule):
    """Return the policy with other values in its rule; 8 kbit/s are 1000 bytes a second."""
    data = loads(POLICY, "policy.yaml").model_dump(mode="json", exclude_unset=True)
    data["rules"][0] |= rule
    data["rules"][0] = {key: value for key, value in data["rules"][0].items() if value is not None}
    return type(loads(POLICY, "policy.yaml")).model_validate(data)


@pytest.fixture
def records():
    return []


@pytest.fixture
def ticker(monkeypatch):
    return turn_clock(monkeypatch)


@pytest.fixture
def shaping(ticker, records):
    return Shaping(Judge(policy()), Metrics(), [SimpleNamespace(record=records.append)], _ticker=ticker)


@pytest.fixture
async def book(ticker):
    """A playbook, in an event loop. As the Admitting addon does, it has uploads streamed."""
    return Playbook(ticker, {"requestheaders": lambda flow: setattr(flow.request, "stream", True)})


@pytest.fixture
def visitor(book):
    return Visitor(book.client, book.handler, "192.0.2.1", Standing())


@pytest.fixture
def exchange(book, shaping, visitor):
    """Start an HTTP layer for a client of HTTP/1.1 and ask for something; with an answer, let the origin say it."""

    def start(answer=b"", *, rule=None, method="GET", path="/photo", headers=b""):
        if rule is not None:
            shaping.swap(policy(**rule))
        if book.layer is None:
            book.start(ShapedHttpLayer(book.context, HTTPMode.regular, shaping, visitor))
        book.receive(
            "client", b"%s http://www.media.test%s HTTP/1.1\r\n%s\r\n" % (method.encode(), path.encode(), headers)
        )
        book.done.clear()
        if answer:
            book.receive("origin", answer)
        return book

    return start
