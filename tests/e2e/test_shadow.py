"""A shadow's estimate against what the same policy costs when it is enforced. No bound needs a quick machine."""

import asyncio

import pytest

from shaper.measure.run import Outcome
from tests.e2e.conftest import policy

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "/bytes?size=25000&type=image/jpeg"
LATE = "latency: {mean: 300 ms}"
CASES = {  # a rule, how many at once, and how long the last of them takes at least, with nothing else in the way
    "smooth": ("media: [image], caps: [{rate: 400 kbit/s}]", 1, 22_952 / 50_000),
    "window": ("media: [image], caps: [{rate: 160 kbit/s, manner: window, window: 500 ms}]", 1, 1.0),
    "late": (f"media: [image], caps: [{{rate: 400 kbit/s}}], {LATE}", 1, 0.3 + 22_952 / 50_000),
    "chain": ("media: [image], caps: [{rate: 400 kbit/s}, {scope: client, rate: 500 kbit/s}]", 1, 22_952 / 50_000),
    "shared": ("media: [image], caps: [{scope: client, rate: 800 kbit/s}]", 3, 72_952 / 100_000),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_estimate_is_what_enforcing_takes_beyond_the_time_that_passed(lab, name):
    words, count, least = CASES[name]
    rule = f"  - {{name: one, target: media, {words}}}\n"

    async def load():
        already = len(lab.records)
        async with await lab.connect("h2") as session:
            await asyncio.gather(*(session.request(IMAGE) for _ in range(count)))
        assert await lab.settled()
        return lab.records[already:]

    with lab.using(policy(more="mode: shadow", rules=rule)):
        computed = await load()
    with lab.using(policy(rules=rule)):
        enforced = await load()
    assert max(record.duration for record in enforced) > least - 0.1
    assert max(record.estimate["e2e"] + record.duration for record in computed) > least - 0.1
    assert max(record.estimate["e2e"] for record in computed) < least + 0.1


async def test_a_shadow_beside_another_policy_delays_nothing_and_says_what_would_not_end(lab):
    shadows = {
        "frozen": "media: [image], freeze_after: 1 kB",
        "blocked": "level: connection, block: refuse",
        "slow": "level: connection, caps: [{scope: connection, rate: 8 kbit/s}]",
    }
    before = lab.proxy.shaping.shadows
    lab.proxy.shaping.shadows = [
        type(lab.proxy.shaping.judge)(
            policy(rules=f"  - {{name: one, target: media, {rule}}}\n").model_copy(update={"study": study})
        )
        for study, rule in shadows.items()
    ]
    try:
        got = await lab.fetch(IMAGE, "h2", timeout=10)
        assert await lab.settled()
    finally:
        lab.proxy.shaping.shadows = before
    assert got.outcome is Outcome.COMPLETE
    record = lab.records[-1]
    assert (record.reason, record.rule) == ("matched", "slow")
    assert record.flags == ("would-freeze:frozen", "would-freeze:blocked")
    assert record.estimate["slow"] > 20 - got.duration
