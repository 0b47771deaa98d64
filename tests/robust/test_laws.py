"""Whatever the order of events: no byte is lost, reordered or invented, nothing crashes, and in the end all is free."""

from hypothesis import given
from hypothesis import strategies as st

from tests.robust.scenes import SIDES, TUNNELS, Garbage, Streams, Tunnel, played

RULES = [{}, {"media": ["video"]}, {"latency": {"mean": "500 ms"}}, {"after": "300 B"}, {"direction": "both"}]


@given(rule=st.sampled_from(TUNNELS), steps=Tunnel.steps)
@played
def test_a_tunnel_passes_on_what_it_was_given_and_nothing_else(ticker, rule, steps):
    tunnel = Tunnel(ticker, rule)
    for step in steps:
        tunnel.play(*step)
        for side, other in (SIDES, SIDES[::-1]):
            assert tunnel.sent[other].startswith(tunnel.got[side])
    for side in SIDES:
        tunnel.play("fill", side, False)
    tunnel.play("wait", 1000.0)
    if not tunnel.closed and "freeze_after" not in rule:
        assert tunnel.got == {"client": tunnel.sent["origin"], "origin": tunnel.sent["client"]}
    if "client" not in tunnel.closed and "freeze_after" not in rule:
        assert tunnel.got["client"] == tunnel.sent["origin"]
    tunnel.hang_up()
    tunnel.check_that_nothing_is_left()


@given(rule=st.sampled_from(RULES), steps=Streams.steps)
@played
def test_each_stream_carries_its_own_bytes_in_both_directions(ticker, rule, steps):
    streams = Streams(ticker, rule)
    for step in steps:
        streams.play(*step)
        for key, got in streams.got.items():
            assert streams.sent.get(key, b"").startswith(got), key
        for key in streams.complete:
            assert streams.sent.get(key, b"") == streams.got.get(key, b""), key
            assert key in streams.ended, key
    streams.play("window", 65_535)
    for side in SIDES:
        streams.play("fill", side, False)
    for _ in range(20):
        streams.play("wait", 100.0)
    for key in streams.ended:
        if key[1] not in streams.broken and key in streams.sent:
            assert streams.got.get(key, b"") == streams.sent[key], key
    streams.hang_up()
    streams.check_that_nothing_is_left()


@given(rule=st.sampled_from(RULES), steps=Garbage.steps)
@played
def test_no_bytes_from_either_side_do_harm(ticker, rule, steps):
    garbage = Garbage(ticker, rule)
    for step in steps:
        garbage.play(*step)
    garbage.hang_up()
    garbage.check_that_nothing_is_left()
