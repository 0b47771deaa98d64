"""The list of hosts that are never intercepted wins over any target."""

from datetime import UTC, datetime

import pytest

from shaper.policy import never
from shaper.policy.admission import Admission, Standing, admit
from shaper.policy.judge import Judge
from shaper.policy.load import loads
from shaper.policy.verdict import Reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def judge(*hosts):
    patterns = ", ".join(f'"{host}"' for host in hosts)
    return Judge(
        loads(
            f"{{version: 1, study: s, targets: {{t: {{hosts: [{patterns}]}}}},"
            " rules: [{name: r, target: t, media: [image], caps: [{rate: 150 kbit/s}]}]}",
            "policy",
        )
    )


@pytest.mark.parametrize(
    ("host", "category"),
    [
        ("www.paypal.com", "bank"),
        ("any.bank", "bank"),
        ("www.nhs.uk", "health"),
        ("tax.service.gov.uk", "government"),
        ("esia.gosuslugi.ru", "identity"),
        ("www.gosuslugi.ru", "government"),
        ("e.mail.ru", "mail"),
        ("LOGIN.microsoftonline.com.", "identity"),
        ("paypal.com.evil.example", None),
        ("notpaypal.com", None),
        ("pbs.twimg.com", None),
        ("bank.example", None),
        ("", None),
        ("192.0.2.1", None),
    ],
)
def test_a_name_stands_for_itself_and_everything_below_it(host, category):
    assert never.category(host) == category


def test_each_of_the_promised_categories_is_filled():
    listed = list(never.hosts().values())
    assert set(listed) == {"bank", "health", "government", "mail", "identity"}
    assert min(map(listed.count, set(listed))) >= 20


def test_the_list_is_sorted_and_names_each_host_once():
    sections = [section.splitlines()[1:] for section in never.LIST.read_text().split("\n\n")[1:]]
    assert all(section == sorted(section) for section in sections)
    names = [name for section in sections for name in section]
    assert len(names) == len(set(names)) == len(never.hosts())


def test_no_target_wins_over_the_list():
    targeted = judge("*.paypal.com", "accounts.google.com", "pbs.twimg.com")
    for host in ("www.paypal.com", "accounts.google.com"):
        admitted = admit(targeted, [host], Standing(), NOW)
        assert (admitted.admission, admitted.verdict.reason) == (Admission.TUNNEL, Reason.NEVER)
    assert admit(targeted, ["pbs.twimg.com"], Standing(), NOW).admission is Admission.INTERCEPT


def test_the_list_is_readable_as_a_policys_never():
    assert {"paypal.com", "*.paypal.com"} <= set(never.patterns())
