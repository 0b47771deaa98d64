import socket

import pytest

from shaper.cli import address
from shaper.policy.refused import RefusedError


@pytest.fixture
def taken():
    """A port, of those that are tried, where somebody listens."""
    with socket.create_server(address.settled(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_an_address_with_a_port_stays_as_it_is():
    assert address.settled(("127.0.0.1", 8080)) == ("127.0.0.1", 8080)


def test_a_port_is_chosen_that_the_system_gives_to_nobody_by_itself(taken):
    assert taken in address.SELDOM_GIVEN


def test_a_port_that_somebody_has_is_passed_over(taken, monkeypatch):
    other = address.settled(("127.0.0.1", 0))[1]
    monkeypatch.setattr(address.random, "sample", lambda *_: [taken, other])
    assert address.settled(("127.0.0.1", 0)) == ("127.0.0.1", other)


def test_an_address_that_is_not_this_machines_is_refused_in_one_line():
    with pytest.raises(RefusedError) as refused:
        address.settled(("192.0.2.1", 0))
    assert str(refused.value).startswith("192.0.2.1:0: cannot listen here: ")
