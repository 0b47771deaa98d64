"""A limit makes the bucket that its manner names."""

import pytest

from shaper.pacing.limit import Limit, Manner, Scope, quantum
from shaper.pacing.token_bucket import TokenBucket
from shaper.pacing.window_bucket import WindowBucket


def test_each_manner_makes_its_bucket():
    smooth = Limit(Scope.RESPONSE, 1000.0, 5.0).make_bucket()
    window = Limit(Scope.CLIENT, 1000.0, 0.0, Manner.WINDOW, 2.0).make_bucket()
    assert isinstance(smooth, TokenBucket)
    assert smooth.burst == 5.0
    assert isinstance(window, WindowBucket)
    assert window.burst == 2000.0
    with pytest.raises(ValueError, match=r"^police drops packets in the kernel; it has no bucket in user space$"):
        Limit(Scope.CONNECTION, 1000.0, 0.0, Manner.POLICE).make_bucket()


def test_a_shared_bucket_holds_at_least_a_quantum():
    shared = Limit(Scope.CLIENT, 1_250_000.0, 10.0).make_bucket()
    assert shared.burst == quantum(1_250_000.0) == 3125
    assert Limit(Scope.CLIENT, 1000.0, 2048.0).make_bucket().burst == 2048


@pytest.mark.parametrize(("kbit", "size"), [(0.008, 1), (150, 375), (1000, 1000), (10_000, 3125), (50_000, 15_625)])
def test_the_quantum_is_20_ms_then_1_kb_then_2500_us_of_rate(kbit, size):
    assert quantum(kbit * 125) == size


def test_a_response_of_its_own_may_have_no_burst_at_all():
    assert Limit(Scope.RESPONSE, 1000.0, 0.0).make_bucket().burst == 0
