"""`make bench-peers`: shaper beside its peers, in turns, over loopback and over veth; writes docs/benchmarks.md.

    python -m bench.peers --save RUN [--over LINK]… [--only SECTION]… [--repeats N] [--quick] [--note TEXT]
    python -m bench.peers --write RUN… [-o FILE]

The first measures and keeps all figures in RUN, in 15 to 20 minutes a link; the second makes the document of several
such runs. Every peer gets the same origin, bodies, load client and machine, one after another. Squid has no HTTP/2
towards clients; mitmproxy does not slow, so its pictures are slowed by the origin: it shows what shaper's own
foundation costs.
"""

import argparse
import asyncio
import gc
import os
import resource
import signal
import ssl
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from bench.peers.link import LINKS, over
from bench.peers.peers import Peers, versions
from bench.peers.results import Run, read
from bench.peers.sections import SECTIONS
from bench.peers.table import write

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "benchmarks.md"


async def measure(peers, run, link, asked):
    for name in asked.only or SECTIONS:
        print(f"{link}: {SECTIONS[name].__doc__}, load average {run.note_load():.1f}", flush=True)
        gc.collect()
        await SECTIONS[name](peers, partial(run.results.add, link, name), asked.quick)
        run.keep(asked.save)


def make(asked):
    """Measure, and keep what is found after each section."""
    links = asked.over or LINKS
    if "veth" in links and os.geteuid():
        raise SystemExit("--over veth: network namespaces need root; use sudo, or --over loopback alone")
    subprocess.run([str(HERE / "install"), str(asked.kept)], check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that programs and namespaces go
    _forgive_squid()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    run = Run(versions=versions(asked.kept), commit=commit.stdout.strip() or "?", note=asked.note)
    for _ in range(asked.repeats):
        for link in links:
            with over(link), tempfile.TemporaryDirectory(prefix="shaper-peers-") as home:
                peers = Peers(Path(home), asked.kept)
                try:
                    asyncio.run(measure(peers, run, link, asked))
                finally:
                    peers.stop()
    print(f"{asked.save}: written")


def main():
    options = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.splitlines()[0])
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("--save", type=Path, metavar="RUN", help="measure, and keep the figures in this file")
    what.add_argument("--write", type=Path, metavar="RUN", nargs="+", help="make the document of these runs")
    options.add_argument("--over", action="append", choices=LINKS, help="this link; else over each")
    options.add_argument("--only", action="append", choices=SECTIONS, help="this section; may be given again")
    options.add_argument("--repeats", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="shorter: shows that it works")
    options.add_argument("--kept", type=Path, default=Path.home() / ".cache" / "shaper-peers", help="the peers' place")
    options.add_argument("--note", default="", help="a sentence on how the run was made, for the document")
    options.add_argument("-o", "--output", type=Path, default=DOCUMENT)
    asked = options.parse_args()
    if asked.save:
        make(asked)
    else:
        if missing := next((path for path in asked.write if not path.exists()), None):
            options.error(f"{missing}: there is no such run; --save makes one")
        write(asked.output, *read(asked.write))
        print(f"{asked.output}: written")


def _forgive_squid():
    """Squid's certificates lack an identifier that Python asks for by default since 3.13."""
    strict = ssl.create_default_context

    def lenient(*arguments, **named):
        context = strict(*arguments, **named)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    ssl.create_default_context = lenient


if __name__ == "__main__":
    main()
