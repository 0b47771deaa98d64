"""The documents for labs name what there is."""

from pathlib import Path

from shaper.onboarding.budget import DAY, Terms
from shaper.onboarding.presence import SHOWN

DOCS = Path(__file__).parents[3] / "docs"
CONSENT = (DOCS / "consent.md").read_text()


def test_every_field_of_a_persons_list_is_named():
    assert [name for name in SHOWN if f"`{name}`" not in CONSENT] == []


def test_the_terms_are_the_defaults():
    terms = Terms()
    assert f"holds for {terms.consent / DAY:.0f} days" in CONSENT
    assert f"{terms.keep / DAY:.0f} days, the newest {terms.entries:,}" in CONSENT
    assert terms.bytes_a_day == 2 * 10**9
    assert "2 GB a day" in CONSENT
    assert (terms.session, terms.rest) == (4 * 3600, 3600)
    assert "four hours with an hour's rest" in CONSENT


def test_pictures_and_links_lead_somewhere():
    for document in (DOCS / "consent.md", DOCS / "volunteers.md"):
        for part in document.read_text().split("](")[1:]:
            target = part.partition(")")[0]
            assert (DOCS / target).exists(), f"{document.name}: {target}"
