"""The site as http://shaper.lab/ through the real proxy: who may reach what, and whom it takes somebody for."""

import subprocess

import pytest

from shaper.cli.volunteering import TEST
from shaper.onboarding.site.via import CLIENT, KEY
from tests.running_study import until


@pytest.fixture
def curl(needs, lab):
    program = needs("curl", "apt-get install curl")

    def ask(url, *options, login=None):
        user = f"{login.username}:{login.password}@" if login else ""
        command = [program, "-sS", "-m", "20", "-x", f"http://{user}{lab.proxy}", "--cacert", lab.ca_pem]
        command += ["-o", "-", "-w", "\n%{http_code} %{http_connect}", *options, url]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        page, _, codes = done.stdout.rpartition("\n")
        return page, codes

    return ask


@pytest.fixture
def joined(lab):
    person = lab.join()
    return lab.members[-1]["pseudonym"], person.login


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


def test_a_site_that_was_refused_before_the_certificate_was_trusted_is_opened_after_it(curl, lab):
    """As the set-up page has it: the study's sites go to the proxy first, and its certificate is trusted then."""
    person = lab.join()
    untrusting = ["--cacert", "/etc/ssl/certs/ca-certificates.crt"]
    photo = f"https://{TEST}/photos/dusk.jpg"
    assert curl(photo, *untrusting, login=person.login)[1] == "000 200"
    assert curl(photo, login=person.login)[1] == "000 200"  # it is left alone now: its own certificate is shown
    token = person.get("/setup").partition('data-token="')[2].partition('"')[0]
    assert curl(f"https://check.shaper.lab/seen/{token}.svg", login=person.login)[1] == "200 200"
    assert until(lambda: curl(photo, login=person.login)[1] == "200 200")


def test_every_other_host_wants_the_password(curl, lab):
    assert curl("https://photos.example.org/")[1] == "000 407"
    assert curl("http://photos.example.org/")[1] == "407 000"


def test_without_the_labs_ca_the_check_host_is_not_believed(curl, needs):
    page, codes = curl("https://check.shaper.lab/trusted", "--cacert", "/etc/ssl/certs/ca-certificates.crt")
    assert codes.startswith("000")
    assert page == ""
