"""A client that refused the proxy's certificate for a host is left alone there, for a while."""

from hypothesis import given
from hypothesis import strategies as st

from shaper.policy.pinned import Pinned


def test_the_next_connection_after_a_failure_is_tunnelled_for_that_client_and_host_only():
    pinned = Pinned()
    assert not pinned.tunnels("ann", "app.example", 0.0)
    pinned.failed("ann", "app.example", 0.0)
    assert pinned.tunnels("ann", "app.example", 1.0)
    assert not pinned.tunnels("bob", "app.example", 1.0)
    assert not pinned.tunnels("ann", "www.example", 1.0)
    assert pinned.failures == 1


def test_who_only_hangs_up_is_left_alone_the_second_time_unless_the_certificate_was_taken_between():
    pinned = Pinned()
    pinned.failed("ann", "app.example", 0.0, silently=True)
    assert not pinned.tunnels("ann", "app.example", 1.0)
    pinned.accepted("ann", "app.example")
    pinned.failed("ann", "app.example", 2.0, silently=True)
    assert not pinned.tunnels("ann", "app.example", 3.0)
    pinned.failed("ann", "app.example", 4.0, silently=True)
    assert pinned.tunnels("ann", "app.example", 5.0)
    pinned.accepted("ann", "app.example")
    assert not pinned.tunnels("ann", "app.example", 6.0)


def test_who_hung_up_and_then_says_why_is_left_alone():
    pinned = Pinned()
    pinned.failed("ann", "app.example", 0.0, silently=True)
    pinned.failed("ann", "app.example", 1.0)
    assert pinned.tunnels("ann", "app.example", 2.0)


def test_a_failure_is_forgotten_after_a_while():
    pinned = Pinned(forget_after=60.0)
    pinned.failed("ann", "app.example", 100.0)
    assert pinned.tunnels("ann", "app.example", 159.0)
    assert not pinned.tunnels("ann", "app.example", 160.0)


def test_a_client_that_has_imported_the_ca_is_tried_again():
    pinned = Pinned()
    for client in ("ann", "bob"):
        pinned.failed(client, "app.example", 0.0)
    pinned.forget("ann")
    assert not pinned.tunnels("ann", "app.example", 1.0)
    assert pinned.tunnels("bob", "app.example", 1.0)


@given(st.lists(st.integers(0, 50), min_size=1))
def test_only_the_latest_failures_are_remembered(hosts):
    pinned = Pinned(limit=5)
    for host in hosts:
        pinned.failed("ann", str(host), 0.0)
    latest = list(dict.fromkeys(reversed(hosts)))[:5]
    assert [host for host in range(51) if pinned.tunnels("ann", str(host), 1.0)] == sorted(latest)


def test_failures_are_counted_and_what_is_forgotten_leaves_nothing():
    pinned = Pinned(forget_after=60.0)
    pinned.failed("ann", "app.example", 0.0, silently=True)
    pinned.failed("bob", "app.example", 0.0)
    assert pinned.failures == 2
    for client in ("ann", "bob"):
        assert not pinned.tunnels(client, "app.example", 100.0)
    assert (len(pinned._since), len(pinned._doubted)) == (0, 0)
    pinned.accepted("nobody", "app.example")
