"""A policy of 10,000 host patterns: how long does it take to load, and how long does one decision take?"""

from datetime import UTC, datetime
from itertools import cycle, islice
from statistics import median
from time import perf_counter

from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.verdict import Facts, Person, Reason

PATTERNS = 10_000
POLICY = """
version: 1
study: many
targets:
  many:
    hosts:
HOSTS
rules: [{name: slow, target: many, media: [image], caps: [{rate: 150 kbit/s}]}]
"""


def text():
    hosts = (f'"*.host{number}.example{number % 97}.org"' for number in range(PATTERNS))
    return POLICY.replace("HOSTS", "\n".join(f"    - {host}" for host in hosts))


def loading(repeats=5):
    """Return a policy and the median of the seconds in which it was loaded and compiled."""
    written, times = text(), []
    for _ in range(repeats):
        start = perf_counter()
        judge = Judge(loads(written, "many.yaml"))
        times.append(perf_counter() - start)
    return judge, median(times)


def deciding(judge, *, known, hosts=2000, repeats=25):
    """Return the median and the 99th percentile of microseconds a decision, half of the hosts being targets.

    Hosts that are `known` were asked for before; others are new each time.
    """
    person, now, numbers = Person(), datetime.now(UTC), cycle(range(PATTERNS)) if known else iter(range(10**9))
    asked = [facts(number) for number in islice(numbers, hosts if known else hosts * repeats)]
    slices = [asked] * (repeats + 1) if known else [asked[i : i + hosts] for i in range(0, len(asked), hosts)]
    times = []
    for each in slices:
        for message in each:
            start = perf_counter()
            verdict = judge.decide(message, person, now)
            times.append(perf_counter() - start)
            assert verdict.reason in {Reason.MATCHED, Reason.UNTARGETED}
    times = sorted(times[hosts:])  # the first round is for warming up
    return 1e6 * median(times), 1e6 * times[len(times) * 99 // 100]


def facts(number):
    of_target = f"cdn{number}.host{number % PATTERNS}.example{number % PATTERNS % 97}.org"
    host = of_target if number % 2 else f"cdn{number}.elsewhere{number % PATTERNS}.org"
    return Facts(host, content_type=("image/jpeg",), content_length=20_000, path=f"/photo{number}.jpg")
