"""What the proxy shows to clients is signed by the study's CA, names one host and does not outlive the month."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from mitmproxy import options
from mitmproxy.tools.dump import DumpMaster

from shaper.proxy.authority import ensure
from shaper.proxy.leaf import KEPT, Leaves, StudyTls


@pytest.fixture
def authority(tmp_path):
    return ensure(tmp_path / "ca", ["inside.example", "*.cdn.example"], "study-1")


def names(entry):
    return [str(name.value) for name in entry.cert.altnames]


def test_a_leaf_names_the_host_that_was_asked_for_and_no_other(authority):
    assert names(Leaves(authority).leaf("a.cdn.example")) == ["a.cdn.example"]


def test_a_leaf_is_kept_until_others_crowd_it_out(authority):
    leaves = Leaves(authority)
    first = leaves.leaf("a.cdn.example")
    assert leaves.leaf("a.cdn.example") is first
    for number in range(KEPT):
        leaves.leaf(f"{number}.cdn.example")
    assert leaves.leaf("a.cdn.example") is not first


def test_a_leaf_lives_a_month_and_never_longer_than_its_authority(authority, tmp_path):
    now, day = datetime.now(UTC), timedelta(days=1)
    assert 29 * day < Leaves(authority).leaf("inside.example").cert.notafter - now <= 30 * day
    short = ensure(tmp_path / "short", ["inside.example"], "study-1", days=3)
    leaf = Leaves(short).leaf("inside.example").cert
    assert leaf.notafter == short.not_after
    assert leaf.notbefore >= short.certificate.not_valid_before_utc


def test_a_name_too_long_for_a_common_name_is_still_named(authority):
    host = "a" * 60 + ".cdn.example"
    entry = Leaves(authority).leaf(host)
    assert names(entry) == [host]
    assert entry.cert.cn is None
    assert entry.cert.to_cryptography().extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_the_leaves_do_not_share_the_authoritys_key(authority):
    leaf = Leaves(authority).leaf("inside.example")
    assert leaf.privatekey.public_key() != authority.key.public_key()
    assert leaf.cert.public_key() == leaf.privatekey.public_key()


async def test_a_client_of_the_real_proxy_that_trusts_the_study_is_served(authority, tmp_path, needs):
    """The origin is absent on purpose: to see mitmproxy's own error page, the client must accept the certificate."""
    curl = needs("curl", "apt-get install curl")
    settings = options.Options(listen_host="127.0.0.1", listen_port=0, confdir=str(tmp_path / "none"))
    master = DumpMaster(settings, with_termlog=False, with_dumper=False)
    master.options.update(connection_strategy="lazy", upstream_cert=False)
    master.addons.remove(master.addons.get("tlsconfig"))
    master.addons.add(StudyTls(authority))
    running = asyncio.create_task(master.run())
    try:
        server = master.addons.get("proxyserver")
        while not server.listen_addrs():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        proxy = f"http://127.0.0.1:{server.listen_addrs()[0][1]}"

        async def fetch(host):
            command = [curl, "-sS", "--cacert", authority.pem, "--proxy", proxy, f"https://{host}:1/"]
            return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)

        inside, outside = await fetch("inside.example"), await fetch("outside.example")
    finally:
        master.shutdown()
        await running
    assert "502 Bad Gateway" in inside.stdout, inside.stderr
    assert "permitted subtree violation" in outside.stderr
    assert not (tmp_path / "none").exists()
