"""The proxy's delay ledger against its clients' own clocks: curl and Chromium. Goal: within 5 ms, on a quiet machine.

    python -m bench.clocks [--pictures N]

Both fetch pictures of several sizes, one after another, slowed and not. A client's time is from sending the request to
the last byte of the body; the ledger's is the sum of its parts. What the machine does beside counts as the ledger's
error: `chrt -r 5` before the command keeps most of it out.
"""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from shaper.cli.browse import shown_key
from shaper.cli.proxy_process import ProxyProcess
from shaper.lab.origin import Origin
from shaper.measure.chromium import browser
from shaper.record.journal import GATHER, parse

GOAL = 0.005
HOST = "clocks.test"
POLICY = f"""
version: 1
study: clocks
targets: {{pictures: {{hosts: [{HOST}]}}}}
rules: [{{name: slow, target: pictures, media: [image], caps: [{{rate: 1 Mbit/s, burst: 2 KiB}}]}}]
"""
PATHS = ("/bytes?size=1000&type=image/jpeg", "/photos/leaves.svg", "/photos/valley.jpg", "/page.js")
TELL = """async (path) => {
  await (await fetch(path, {cache: "no-store"})).arrayBuffer();
  const [entry] = performance.getEntriesByName(new URL(path, location.href).href);
  performance.clearResourceTimings();
  return (entry.responseEnd - entry.requestStart) / 1000;
}"""


async def by_curl(proxy, paths, version):
    """Yield curl's time for each path, on one connection."""
    config = "".join(f'url = "https://{HOST}{path}"\noutput = /dev/null\n' for path in ("/style.css", *paths))
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", f"--{version}", "--proxy", "http://{}:{}".format(*proxy.address), "--cacert", str(proxy.ca_pem),
        "-w", "%{json}\n", "-K", "-", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate(config.encode())
    told = [json.loads(line) for line in out.splitlines()][1:]  # the first one opened the connection
    return [each["time_total"] - each["time_pretransfer"] for each in told]


async def by_chromium(chromium, proxy, paths):
    """Yield Chromium's time for each path, on one connection."""
    context = await chromium.new_context(
        proxy={"server": "http://{}:{}".format(*proxy.address), "bypass": ""}, bypass_csp=True
    )
    page = await context.new_page()
    await page.goto(f"https://{HOST}/facts.json")
    times = [await page.evaluate(TELL, path) for path in paths]
    await context.close()
    return times


async def run(count):
    paths = [path for _ in range(count) for path in PATHS]
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="shaper-clocks-")))
        (home / "policy.yaml").write_text(POLICY)
        origin = await stack.enter_async_context(Origin([HOST]))
        journal = home / "journal.jsonl"
        arguments = [
            f"--connect-to={HOST}:443:127.0.0.1:{origin.port}", f"--origin-ca={origin.ca_pem}",
            f"--ca-dir={home}", f"--journal={journal}",
        ]  # fmt: skip
        proxy = await stack.enter_async_context(ProxyProcess(home / "policy.yaml", arguments))
        key = await shown_key(HOST, proxy.address, proxy.ca_pem)
        chromium = await stack.enter_async_context(browser([key], {}))
        worst, read = 0.0, 0
        for name, asking in (
            ("curl, h1", by_curl(proxy, paths, "http1.1")),
            ("curl, h2", by_curl(proxy, paths, "http2")),
            ("Chromium, h2", by_chromium(chromium, proxy, paths)),
        ):
            times = await asking
            await asyncio.sleep(10 * GATHER)
            lines = journal.read_bytes().splitlines()
            records = [parse(line) for line in lines[read:]][-len(paths) :]
            read = len(lines)
            apart = [abs(sum(s for _, s in record.waits()) - time) for record, time in zip(records, times, strict=True)]
            worst = max(worst, *apart)
            print(f"{name:<14} {len(apart)} transfers of {min(times):.3f} to {max(times):.3f} s: apart by "
                  f"{1000 * median(apart):.2f} ms in the median, {1000 * max(apart):.2f} ms at most")  # fmt: skip
    print(f"goal, at most {1000 * GOAL:g} ms: {'met' if worst <= GOAL else 'missed'}")
    return worst <= GOAL


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="python -m bench.clocks", description=__doc__.splitlines()[0])
    options.add_argument("--pictures", type=int, default=10, help="how often each of the four bodies is fetched")
    raise SystemExit(not asyncio.run(run(options.parse_args().pictures)))
