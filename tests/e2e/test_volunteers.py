"""Who takes part is slowed; who does not is let through untouched; and nobody gets where the lab does not lead."""

import asyncio
import ssl
import subprocess
from base64 import b64encode
from types import SimpleNamespace

import pytest
import pytest_asyncio

from shaper.lab.origin import Origin
from shaper.onboarding.roster import open_roster
from shaper.policy.destination import Destinations
from shaper.policy.load import loads
from shaper.policy.refused import RefusedError
from shaper.proxy.clock import monotonic
from shaper.proxy.server import ConnectTo, Proxy, Settings
from shaper.record.metrics import Metrics
from tests.e2e.conftest import Records, until

POLICY = loads(
    """
version: 1
study: volunteers
targets: {media: {hosts: ["*.media.test", "www.paypal.com"]}}
rules: [{name: slow, target: media, media: [image], caps: [{rate: 400 kbit/s}]}]
""",
    "policy",
)
NAMES = ["a.media.test", "b.media.test", "www.paypal.com"]
PICTURE = "/bytes?size=20000&type=image/jpeg"


@pytest_asyncio.fixture
async def study(tmp_path, needs):
    """A proxy with a roster that asks for no credentials, a client that has some, and an origin."""
    curl = needs("curl", "apt-get install curl")
    with Origin(NAMES) as origin:
        routes = [ConnectTo(name, port, "127.0.0.1", to) for name in NAMES
                  for port, to in ((443, origin.port), (80, origin.plain_port))]  # fmt: skip
        roster, records, metrics = open_roster(tmp_path / "v.sqlite", "volunteers"), Records(), Metrics()
        settings = Settings(
            ca_dir=tmp_path / "ca", connect_to=tuple(routes), origin_ca=origin.ca_pem,
            destinations=Destinations.parse([]),
        )  # fmt: skip
        proxy = Proxy(POLICY, settings, [records, roster], metrics, registry=roster)
        await proxy.start()
        pseudonym, credential = await asyncio.to_thread(roster.enrol)

        async def fetch(url, *options, ca=None, named=True):
            user = ["--proxy-user", f"{credential.username}:{credential.password}"] if named else []
            command = [curl, "-sS", "--proxy", "http://{}:{}".format(*proxy.address), *user, "--max-time", "20",
                       "--cacert", str(ca or proxy.ca_pem), "-o", "/dev/null", "-w", "%{size_download} %{http_code}",
                       *options, url]  # fmt: skip
            return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)

        yield SimpleNamespace(
            proxy=proxy, roster=roster, records=records, origin=origin, fetch=fetch, me=pseudonym, metrics=metrics,
            credential=credential,
        )  # fmt: skip
        await proxy.stop()
        await asyncio.to_thread(roster.close)


async def consent(study):
    await asyncio.to_thread(study.roster.consent, study.me, "text", "en")


async def is_untouched(study, host="a.media.test", **options):
    """Fetch over TLS trusting the origin's CA alone: that works only if the proxy does not decrypt."""
    already = len(study.records)
    answer = await study.fetch(f"https://{host}{PICTURE}", ca=study.origin.ca_pem, **options)
    assert await until(lambda: not study.proxy.shaping.live)
    return answer.stdout == "20000 200" and len(study.records) == already


async def is_slowed(study, host="a.media.test"):
    answer = await study.fetch(f"https://{host}{PICTURE}")
    assert answer.stdout == "20000 200", answer.stderr
    assert await until(lambda: not study.proxy.shaping.live)
    return (study.records[-1].reason, study.records[-1].client) == ("matched", study.me)


async def test_nobody_is_decrypted_slowed_or_recorded_before_they_consent(study):
    assert await is_untouched(study)
    assert await is_untouched(study, named=False)
    await consent(study)
    assert await is_slowed(study)
    assert await is_untouched(study, named=False)


@pytest.mark.parametrize("leave", ["pause", "stop", "delete"])
async def test_who_pauses_stops_or_deletes_is_let_through_from_the_next_connection_on(study, leave):
    await consent(study)
    assert await is_slowed(study)
    await asyncio.to_thread(getattr(study.roster, leave), study.me)
    assert await is_untouched(study)


async def test_plain_http_of_a_stranger_is_neither_slowed_nor_recorded(study):
    answer = await study.fetch(f"http://a.media.test{PICTURE}", named=False)
    assert answer.stdout == "20000 200"
    left = await study.fetch(f"http://a.media.test{PICTURE}&delay=5", "--max-time", "0.3", named=False)
    assert "timed out" in left.stderr
    assert await until(lambda: not study.proxy.shaping.live)
    assert study.records == []


async def test_a_bank_is_never_decrypted_even_if_it_is_a_target(study):
    await consent(study)
    assert await is_untouched(study, host="www.paypal.com")


async def test_a_client_that_refuses_the_certificate_is_let_through_from_then_on(study):
    await consent(study)
    refused = await study.fetch(f"https://a.media.test{PICTURE}", ca=study.origin.ca_pem)
    assert "SSL certificate problem" in refused.stderr
    assert await until(lambda: study.proxy.admitting.pinned.failures == 1)
    assert await is_untouched(study)
    assert await is_slowed(study, host="b.media.test")


async def test_a_client_that_hangs_up_during_the_handshake_may_have_had_another_reason(study):
    await consent(study)
    login = b64encode(f"{study.credential.username}:{study.credential.password}".encode()).decode()
    for number in (1, 2):
        reader, writer = await asyncio.open_connection(*study.proxy.address)
        writer.write(f"CONNECT a.media.test:443 HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode())
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        hello = ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a.media.test").do_handshake()
        writer.write(hello.read())
        await reader.readexactly(100)  # it is shown our certificate
        writer.close()
        assert await until(lambda number=number: study.proxy.admitting.pinned.failures == number)
        tunnelled = study.proxy.admitting.pinned.tunnels(study.me, "a.media.test", monotonic())
        assert tunnelled is (number == 2)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433",
                                  "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"])  # fmt: skip
async def test_no_client_gets_into_the_lab_through_the_proxy(study, host, scheme):
    await consent(study)
    for port in (study.origin.port, study.origin.plain_port):
        answer = await study.fetch(f"{scheme}://{host}:{port}{PICTURE}", "-k")
        assert answer.stdout.startswith("0 ") or answer.stdout.endswith(" 502"), answer.stdout
    assert study.origin.seen == []


async def test_the_proxy_does_not_lead_to_itself(study):
    host, port = study.proxy.address
    answer = await study.fetch(f"http://{host}:{port}/")
    assert answer.stdout.endswith(" 502")


async def test_a_proxy_that_others_reach_does_not_start_without_credentials(tmp_path):
    with pytest.raises(RefusedError, match="without credentials"):
        Proxy(POLICY, Settings(ca_dir=tmp_path, listen=("0.0.0.0", 0)))


async def test_a_key_that_others_can_read_keeps_the_proxy_from_starting(tmp_path):
    Proxy(POLICY, Settings(ca_dir=tmp_path / "ca"))
    (tmp_path / "ca" / "shaper-ca-key.pem").chmod(0o644)
    with pytest.raises(RefusedError, match="others may use it"):
        Proxy(POLICY, Settings(ca_dir=tmp_path / "ca"))


async def test_the_leaf_that_a_volunteer_sees_names_the_host_alone(study):
    await consent(study)
    answer = await study.fetch(f"https://a.media.test{PICTURE}", "-w", "%{certs}")
    leaf = ssl.PEM_cert_to_DER_cert(
        answer.stdout[answer.stdout.index("-----BEGIN") :].split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    assert b"a.media.test" in leaf
    assert b"b.media.test" not in leaf
