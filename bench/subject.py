"""What is measured: shaper, mitmproxy without it, or no proxy at all, behind one way to connect and to ask.

A subject is asked for a rate by the host name or the path of a URL. `picture` is a large body that comes at
150 kbit/s: shaper slows it itself, before the others the origin does. `page` is a small one that nobody slows.
"""

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bench.origin import Origin
from bench.program import Program, free_port
from shaper.measure.probe import connect
from shaper.proxy import addon as shaper_addon

RATES = (150_000, 1_000_000, 10_000_000, 50_000_000)
BURST = 2048
SLOW = RATES[0]
BIN = Path(sys.executable).parent


EVEN = "even.bench.test"
"""A host whose pictures shaper slows to SLOW too, but without a burst."""


def host_of(rate):
    return f"r{rate}.bench.test"


@dataclass
class Subject:
    """Something that answers requests, and how to reach it."""

    name: str
    origin: Origin
    ca: Path
    program: Program | None = None
    proxy: tuple[str, int] | None = None
    started_in: float = 0.0
    picture: str = "/slow/50m.jpg"
    page: str = "/page.html"

    def url(self, rate=None, *, tunnelled=False):
        """Return the URL of the origin as this subject's clients write it."""
        _ = rate
        if tunnelled:
            return f"https://127.0.0.1:{self.origin.tunnel_port}"
        return f"https://localhost:{self.origin.port}"

    def path(self, rate, size):
        """Return the path of a body of that size that comes at that rate."""
        _ = rate
        return f"/{size}.jpg"

    def picture_of(self, index):
        """Return the path for one of many slowed transfers at once."""
        _ = index
        return self.picture

    def configured(self, rate):
        """Return the rate that it really is configured to, in bit/s."""
        return rate

    async def connect(self, protocol="h1", rate=None, *, url=None, **more):
        url = url or self.url(rate)
        direct = self.proxy is None or "127.0.0.1" in url
        return await connect(url, protocol=protocol, proxy=self.proxy, ca=self.origin.ca if direct else self.ca, **more)

    def stop(self):
        if self.program:
            self.program.stop()


class Shaper(Subject):
    """`shaper run`. A rate has a host name of its own."""

    def url(self, rate=None, **kind):
        return f"https://{host_of(rate)}" if rate else super().url(**kind)


def direct(origin):
    return Subject("direct", origin, origin.ca)


def policy_text(extra=""):
    """Return a policy with a target for each rate; `localhost` is slowed to 150 kbit/s too."""
    lines = ["version: 1", "study: bench", "targets:"]
    lines += [f"  r{rate}: {{hosts: [{host_of(rate)}{', localhost' if rate == SLOW else ''}]}}" for rate in RATES]
    lines += [f"  even: {{hosts: [{EVEN}]}}", "rules:"]
    lines += [f"  - {{name: even, target: even, media: [image], caps: [{{rate: {SLOW / 1000:g} kbit/s, burst: 0 B}}]}}"]
    lines += [
        f"  - {{name: r{rate}, target: r{rate}, media: [image, video], "
        f"caps: [{{scope: response, rate: {rate / 1000:g} kbit/s, burst: {BURST} B}}]}}"
        for rate in RATES
    ]
    return "\n".join(lines) + "\n" + extra


def shaper(home: Path, origin, *, policy=None, more=(), command=(str(BIN / "shaper"),)):
    """Start `shaper run` under a policy of RATES."""
    home.mkdir()
    file = home / "policy.yaml"
    file.write_text(policy or policy_text())
    routes = [f"--connect-to={name}:443:127.0.0.1:{origin.port}" for name in (*map(host_of, RATES), EVEN)]
    program = Program(
        *command, "run", f"--policy={file}", "--listen=127.0.0.1:0", "--metrics=127.0.0.1:0",
        f"--ca-dir={home}", f"--origin-ca={origin.ca}", "--allow-destination=127.0.0.0/8",
        *routes, *more, log=home / "shaper.log",
    )  # fmt: skip
    seconds = program.wait_for(text="metrics")
    port = int(re.search(r"proxy +127\.0\.0\.1:(\d+)", program.printed())[1])
    return Shaper("shaper", origin, home / "shaper-ca.pem", program, ("127.0.0.1", port), seconds, "/50m.jpg")


def mitmproxy(home: Path, origin, *, more=()):
    """Start mitmdump, which streams every body and does nothing else."""
    home.mkdir()
    port = free_port()
    program = Program(
        str(BIN / "mitmdump"), "-q", "--listen-host=127.0.0.1", f"--listen-port={port}", f"--set=confdir={home}",
        "--set=stream_large_bodies=1", f"--set=ssl_verify_upstream_trusted_ca={origin.ca}", "--set=flow_detail=0",
        f"--ignore-hosts=:{origin.tunnel_port}$", *more, log=home / "mitmdump.log",
    )  # fmt: skip
    seconds = program.wait_for(port=port)
    return Subject("mitmproxy", origin, home / "mitmproxy-ca-cert.pem", program, ("127.0.0.1", port), seconds)


def addon(home: Path, origin, *, more=()):
    """Start mitmdump with shaper as its addon."""
    file = home.with_suffix(".yaml")
    file.write_text(policy_text())
    with_shaper = (f"--scripts={shaper_addon.__file__}", f"--set=shaper_policy={file}", *more)
    return replace(mitmproxy(home, origin, more=with_shaper), name="shaper", picture="/50m.jpg")
