"""A proxy that somebody started in order to measure it: it ends as if it were stopped by hand."""

import asyncio

from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.probe import fetch
from shaper.measure.run import Outcome
from shaper.record import journal, transfer

SLOWED = 'shaper_active_transfers{media="image",shaped="true"} 1.0'
POLICY = """
version: 1
study: ended
targets: {photos: {hosts: ["a.test"]}}
rules: [{name: slow, target: photos, media: [image], caps: [{rate: 150 kbit/s}]}]
"""


async def test_what_is_under_way_at_the_end_has_its_time_and_is_journalled(tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    path = tmp_path / "journal.jsonl"
    async with Origin(["a.test"]) as origin:
        options = [
            f"--ca-dir={tmp_path / 'ca'}", f"--journal={path}", "--drain=1s", f"--origin-ca={origin.ca_pem}",
            f"--connect-to=a.test:443:127.0.0.1:{origin.port}",
        ]  # fmt: skip
        async with ProxyProcess(tmp_path / "policy.yaml", options) as proxy:
            url = "https://a.test/bytes?size=1000000&type=image/jpeg"  # 53 s
            fetching = asyncio.create_task(fetch(url, proxy=proxy.address, ca=proxy.ca_pem))
            while SLOWED not in await asyncio.to_thread(proxy.metrics):  # noqa: ASYNC110, it is another process
                await asyncio.sleep(0.05)
        assert (await fetching).outcome is not Outcome.COMPLETE
    (record,) = journal.read(path)
    assert record.outcome is transfer.Outcome.SHUTDOWN
