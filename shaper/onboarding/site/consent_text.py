"""The text that a volunteer agrees to: made once from study and language, shown as HTML, kept and hashed as plain text.

What the digest covers is exactly what is shown between the lead and the questions. A changed policy, term or word
makes a new digest, and everybody is asked again.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from shaper.onboarding.budget import DAY
from shaper.onboarding.consent import text_digest
from shaper.onboarding.site.study import Study, tightest
from shaper.onboarding.site.wording import Wording, languages
from shaper.policy.model import Level, Rule


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, then paragraphs and lists in their order."""

    key: str
    heading: Markup
    blocks: tuple[Markup | tuple[Markup, ...], ...]


@dataclass(frozen=True, slots=True)
class ConsentText:
    """The whole text in one language."""

    language: str
    sections: tuple[Section, ...]

    @property
    def plain(self) -> str:
        """The text without markup, as a receipt holds it."""
        lines = []
        for section in self.sections:
            lines += ["", _plain(section.heading).upper()]
            for block in section.blocks:
                lines += [f"- {_plain(item)}" for item in block] if isinstance(block, tuple) else [_plain(block)]
        return "\n".join(lines).strip() + "\n"

    @property
    def digest(self) -> str:
        return text_digest(self.plain)


def consent_texts(study: Study) -> Mapping[str, ConsentText]:
    """Return the text in every language, by its code."""
    return {code: _text(study, words) for code, words in languages().items()}


def texts_in_force(study: Study) -> frozenset[str]:
    """Return the digests that the roster is to accept, one a language."""
    return frozenset(text.digest for text in consent_texts(study).values())


def slowing(study: Study, rule: Rule, t: Wording) -> Markup:
    """Say in words what a rule does."""
    hosts, rate = t.listed(study.hosts_of(rule)), tightest(rule)
    media = t.listed(t(f"media.{media}") for media in rule.media) if rule.media else t("media.all")
    key = "connection" if rule.level is Level.CONNECTION else "media"
    if rate is None:
        said = t(f"consent.slowed_{key}_hold", media=media, hosts=hosts)
    else:
        said = t(f"consent.slowed_{key}", media=media, hosts=hosts, rate=t.rate(rate))
    return said + " " + t("consent.slowed_arms", arms=t.listed(rule.arms)) if rule.arms else said


def _text(study: Study, t: Wording) -> ConsentText:
    about = {
        "organisation": study.organisation,
        "contact": study.contact,
        "title": study.titled(t.code),
        "keep": t.lasting(study.terms.keep),
        "consent": t.lasting(study.terms.consent),
        "ca": t.lasting(study.ca_days * DAY),
    }

    def say(key: str) -> Markup:
        return t(f"consent.{key}", **about)

    who = [say("who_text")]
    if study.approval:
        who.append(t("consent.approval", approval=study.approval))
    if purpose := study.purposed(t.code):
        who.append(t("consent.purpose", purpose=purpose))
    slowed: list[Markup | tuple[Markup, ...]] = [
        say("slowed_text"),
        tuple(slowing(study, rule, t) for rule in study.slowing()),
    ]
    slowed = slowed if slowed[1] else [say("slowed_nothing")]
    slowed.append(say("shadow") if study.shadow else say("slowed_rest"))
    session, rest, budget = t.lasting(study.terms.session), t.lasting(study.terms.rest), study.terms.bytes_a_day
    slowed.append(t("consent.session", session=session, rest=rest))
    if budget is not None:
        slowed.append(t("consent.budget", budget=t.size(budget)))
    hosts = tuple(Markup("<code>{}</code>").format(host) for host in study.opened)
    opened = [say("decrypted_text"), hosts, say("decrypted_more")] if study.opens else [say("decrypted_none")]
    sections = (
        ("who", who),
        ("slowed", slowed),
        ("decrypted", [*opened, say("never")]),
        ("kept", [say(f"kept_{what}") for what in ("each", "more", "not", "days", "you", "shared")]),
        ("risks", [(say("risks_slow"), say("risks_ca" if study.opens else "risks_ca_none"), say("risks_seen"))]),
        ("unsafe", [say("unsafe_text")]),
        ("stop", [say("stop_text")]),
    )
    return ConsentText(t.code, tuple(Section(key, say(key), tuple(blocks)) for key, blocks in sections))


def _plain(text: Markup) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", str(text))).split())
