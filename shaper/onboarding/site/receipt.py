"""The receipt: what a person agreed to, when, and how to end it, as a plain text file to keep."""

from datetime import UTC, datetime

from markupsafe import Markup

from shaper.onboarding.member import Member
from shaper.onboarding.site.consent_text import ConsentText
from shaper.onboarding.site.study import Study
from shaper.onboarding.site.wording import Wording


def receipt(study: Study, member: Member, text: ConsentText | None, url: str, t: Wording) -> str:
    """Return the receipt of a member; without the text when it is no longer the one that was shown."""
    consent = member.consent
    if consent is None:
        raise ValueError("there is no receipt without a consent")
    said: list[Markup] = [
        t("receipt.heading"),
        Markup(),
        t("receipt.study", study=study.policy.study, title=study.titled(t.code)),
        t("receipt.run_by", organisation=study.organisation, contact=study.contact),
        t("receipt.when", when=stamp(consent.given)),
        t("receipt.ends", when=stamp(consent.expires)),
        t("receipt.text", digest=consent.text, language=consent.language),
        t("receipt.pseudonym", pseudonym=member.pseudonym),
        t("receipt.stop", url=url),
    ]
    lines = [line.unescape() for line in said]
    if text and text.digest == consent.text:
        lines += ["", t("receipt.follows").unescape(), "", text.plain]
    return "\n".join(lines)


def stamp(seconds: float) -> str:
    """Return an instant as people everywhere read it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
