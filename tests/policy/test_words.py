"""Rules and verdicts in plain words: everything a policy can say has words, with the units it was written in."""

import pytest

from shaper.policy.admission import Admission
from shaper.policy.judge import Case, Obstacle
from shaper.policy.media import MediaClass
from shaper.policy.model import Level
from shaper.policy.verdict import Reason
from shaper.policy.words import ADMISSIONS, REASONS, effects, objection

IMAGES = {"media": ["image"]}
CAP = {"rate": "150 kbit/s"}


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ({}, ["nothing: a control"]),
        ({"caps": [CAP]}, ["150 kbit/s for each response, burst 2 KiB, delayed smoothly"]),
        (
            {"caps": [CAP | {"scope": "connection", "manner": "window", "window": "500 ms"}]},
            ["150 kbit/s for each connection, given at once every 500 ms"],
        ),
        (
            {"caps": [CAP | {"scope": "connection", "manner": "police", "burst": "16 kB"}]},
            ["150 kbit/s for each connection, burst 16 kB, packets dropped"],
        ),
        (
            {
                "caps": [{"scope": "client", "rate": "1 MB/s"}, {"scope": "aggregate", "rate": "1.5 Gbit/s"}],
                "after": "16 KiB",
            },
            [
                "8 Mbit/s for each client, burst 2 KiB, delayed smoothly",
                "1.5 Gbit/s for all clients together, burst 2 KiB, delayed smoothly",
                "first 16 KiB free",
            ],
        ),
        ({"freeze_after": "16 KiB"}, ["nothing more after 16 KiB"]),
        ({"freeze_after": "0 B"}, ["nothing more after 0 B"]),
        ({"latency": {"mean": "80 ms"}}, ["first byte 80 ms later"]),
        (
            {"latency": {"mean": "80 ms", "jitter": "20 ms", "distribution": "uniform"}, "direction": "both"},
            ["first byte 80 ms later, give or take 20 ms", "both ways"],
        ),
        ({"block": "refuse"}, ["refused"]),
        ({"freeze_after": "1 kB", "direction": "up"}, ["nothing more after 1 kB", "uploads"]),
        ({"block": "reset"}, ["cut off"]),
    ],
)
def test_a_rule_says_what_it_does(policy, rule, lines):
    assert effects(policy(IMAGES | rule).rules[0]) == lines


def test_every_reason_and_admission_has_words():
    assert REASONS.keys() == set(Reason)
    assert ADMISSIONS.keys() == set(Admission)


def test_every_obstacle_has_words_about_the_rule_and_the_case(policy):
    arms, phases = {"arms": {"treatment": 1}}, {"phases": [{"name": "p", "start": "2021-03-10T07:00Z"}]}
    rule = {"access": ["mobile", "fixed"], "arms": ["treatment"], "phases": ["p"], "rollout": "50 %"}
    (rule,) = policy(IMAGES | rule, **arms, **phases).rules
    case = Case("h", Level.MEDIA, None, "control", 0.7, ("q", "r"), MediaClass.OTHER)
    assert [objection(rule, obstacle, case) for obstacle in Obstacle] == [
        "is about single responses",
        "is about downloads",
        "is about image; this is other",
        "is for mobile or fixed access; this client's is unknown",
        "is for arm treatment; this client's is control",
        "is for phase p; in force: q, r",
        "reaches 50 % of clients; this one is not among them",
    ]


def test_words_for_the_rarer_cases(policy):
    whole = {"level": "connection", "caps": [CAP | {"scope": "client"}], "direction": "both"}
    uploads = IMAGES | {"direction": "up", "arms": ["a"], "phases": ["p"]}
    rules = policy(whole, uploads, arms={"a": 1}, phases=[{"name": "p", "start": "2021-03-10T07:00Z"}]).rules
    case = Case("h", Level.MEDIA, None, "", 0.7, ())
    assert objection(rules[0], Obstacle.LEVEL, case) == "is about whole connections"
    assert objection(rules[1], Obstacle.DIRECTION, case) == "is about uploads"
    assert objection(rules[1], Obstacle.ARM, case) == "is for arm a; this client's is none"
    assert objection(rules[1], Obstacle.PHASE, case) == "is for phase p; in force: none"


def test_quantities_are_told_to_the_last_digit(policy):
    cap = {"rate": "123456.7 bit/s", "burst": "1234567 B"}
    window = CAP | {"scope": "connection", "manner": "window", "window": "1234567 ms"}
    latency = {"mean": "1234567 ms", "jitter": "123456.7 ms", "distribution": "normal"}
    rules = policy(
        IMAGES | {"caps": [cap], "after": "1234567 B", "latency": latency},
        IMAGES | {"caps": [window], "freeze_after": "1234567 B"},
    ).rules
    assert [line for rule in rules for line in effects(rule)] == [
        "123.4567 kbit/s for each response, burst 1.234567 MB, delayed smoothly",
        "first 1.234567 MB free",
        "first byte 1234.567 s later, standard deviation 123.4567 s",
        "150 kbit/s for each connection, given at once every 1234.567 s",
        "nothing more after 1.234567 MB",
    ]
