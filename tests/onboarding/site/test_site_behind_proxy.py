"""The site as http://shaper.lab/ through the real proxy: who may reach what, and whom it takes somebody for."""

import subprocess

import pytest

from shaper.onboarding.site.via import CLIENT, KEY


@pytest.fixture
def curl(needs, lab):
    program = needs("curl", "apt-get install curl")

    def ask(url, *options, login=None):
        user = f"{login.username}:{login.password}@" if login else ""
        command = [program, "-sS", "-m", "20", "-x", f"http://{user}{lab.proxy}", "--cacert", lab.ca_pem]
        command += ["-o", "-", "-w", "\n%{http_code} %{http_connect}", *options, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        page, _, codes = done.stdout.rpartition("\n")
        return page, codes

    return ask


@pytest.fixture
def joined(lab):
    pseudonym, credential = lab.roster.enrol()
    lab.roster.consent(pseudonym, next(iter(lab.roster.texts)), "en")
    return pseudonym, credential


def test_whoever_has_not_joined_can_read_what_joining_means(curl):
    page, codes = curl("http://shaper.lab/consent")
    assert codes == "200 000"
    assert "Before anything" in page


def test_the_glass_box_knows_a_person_by_the_proxys_credentials(curl, joined):
    pseudonym, credential = joined
    page, codes = curl("http://shaper.lab/glass", login=credential)
    assert codes == "200 000"
    assert pseudonym in page


def test_nobody_is_taken_for_another_by_what_they_send(curl, joined):
    pseudonym, _ = joined
    page, codes = curl("http://shaper.lab/glass", "-H", f"{CLIENT}: {pseudonym}", "-H", f"{KEY}: x")
    assert codes == "302 000"
    assert pseudonym not in page


def test_the_check_host_wants_the_password_over_http_and_none_over_https(curl, joined):
    _, credential = joined
    assert curl("http://check.shaper.lab/reached/x")[1] == "407 000"
    assert curl("http://check.shaper.lab/trusted", login=credential)[1] == "200 000"
    page, codes = curl("https://check.shaper.lab/trusted")
    assert codes == "200 200"
    assert "still there" in page


def test_every_other_host_wants_the_password(curl, lab):
    assert curl("https://photos.example.org/")[1] == "000 407"
    assert curl("http://photos.example.org/")[1] == "407 000"


def test_without_the_labs_ca_the_check_host_is_not_believed(curl, needs):
    page, codes = curl("https://check.shaper.lab/trusted", "--cacert", "/etc/ssl/certs/ca-certificates.crt")
    assert codes.startswith("000")
    assert page == ""
