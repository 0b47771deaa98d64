"""The proxy's ledger against curl's own clock. Wide bounds, for machines are busy: bench/clocks.py holds it to 5 ms."""

import asyncio
import json

import pytest

from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.record.journal import parse

HOST = "clocks.test"
POLICY = """
version: 1
study: clocks
targets: {pictures: {hosts: [clocks.test]}}
rules: [{name: slow, target: pictures, media: [image], caps: [{rate: 400 kbit/s, burst: 2 KiB}]}]
"""
PATHS = ("/bytes?size=40000&type=image/jpeg", "/page.js", "/bytes?size=20000&type=image/png&delay=0.3")


@pytest.mark.parametrize("version", ["http1.1", "http2"])
async def test_the_ledgers_parts_sum_to_curls_own_time(needs, tmp_path, version):
    curl = needs("curl", "apt-get install curl")
    (tmp_path / "policy.yaml").write_text(POLICY)
    journal = tmp_path / "journal.jsonl"
    async with Origin([HOST]) as origin:
        arguments = [
            f"--connect-to={HOST}:443:127.0.0.1:{origin.port}", f"--origin-ca={origin.ca_pem}",
            f"--ca-dir={tmp_path}", f"--journal={journal}",
        ]  # fmt: skip
        async with ProxyProcess(tmp_path / "policy.yaml", arguments) as proxy:
            host, port = proxy.address
            process = await asyncio.create_subprocess_exec(
                curl, "-sS", f"--{version}", "--proxy", f"http://{host}:{port}", "--cacert", str(proxy.ca_pem),
                "-w", "%{stderr}%{json}\n", *(f"https://{HOST}{path}" for path in PATHS),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, told = await process.communicate()
    clocks = [json.loads(line) for line in told.splitlines()]
    records = [parse(line) for line in journal.read_bytes().splitlines()]
    assert [record.size for record in records] == [clock["size_download"] for clock in clocks]
    for record, clock in zip(records, clocks, strict=True):
        parts = sum(seconds for _, seconds in record.waits())
        assert parts == pytest.approx(record.duration, abs=1e-9)
        assert parts == pytest.approx(clock["time_total"] - clock["time_pretransfer"], abs=1.0)
    slowed, script, late = records
    assert slowed.held > 0.7  # 38 kB at 50 kB/s
    assert script.held == 0
    assert late.waiting > 0.25
