"""How faithful is each manner to a policer that drops? Over veth, in network namespaces, with real TCP.

    sudo .venv/bin/python bench/fidelity [--quick] [RUN]     measure, unless the run is there, and print the tables
    make bench-fidelity                                      the same, into docs/fidelity.md

The run is a directory as `shaper report` reads it, with `drops.json` beside: packets dropped, by arm and cell.
"""

import argparse
import itertools
import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import arms
import table

from shaper.measure import run

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "deploy/testbed"))

import testbed  # noqa: E402

RTTS, CONGESTIONS, BLOCKS = (20, 50, 100), ("cubic", "bbr"), 20


class Bed:
    """The testbed, and how to run things on it."""

    def __init__(self, name):
        self.name = name

    def start(self, who, script, *arguments):
        command = [*testbed.inside(who, self.name), sys.executable, str(HERE / script), *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def call(self, who, *command, feed=None):
        command = [*testbed.inside(who, self.name), *command]
        return subprocess.run(command, input=feed, check=True, capture_output=True, text=True).stdout

    def dropped(self, who, flows):
        """Return the packets counted by the rules with these sets."""
        ruleset = self.call(who, "nft", "list", "ruleset")
        return sum(int(found) for found in re.findall(flows + r".* counter packets (\d+)", ruleset))


def measure(bed, rtt, congestion, blocks, seed, path, samples):
    """Measure one cell, and return what was dropped."""
    hosts = [arm.host for arm in arms.ARMS]
    testbed.up(rtt / 1000, bed.name)
    try:
        for arm in arms.ARMS:
            bed.call(testbed.CLIENT, "ip", "address", "add", f"{arm.address}/24", "dev", "path")
        with bed.start(testbed.ORIGIN, "origin.py") as origin:
            origin_port = origin.stdout.readline().decode().strip()
            journal = path / f"journal-{congestion}-{rtt}.jsonl"
            arguments = path / "policy.yaml", journal, congestion, origin_port, *hosts
            with bed.start(testbed.PROXY, "proxy.py", *arguments) as proxy:
                port = int(proxy.stdout.readline())
                bed.call(testbed.CLIENT, "nft", "-f", "-", feed=arms.policers(port))
                cell = f"{congestion} {rtt} ms"
                with bed.start(testbed.CLIENT, "client.py", port, cell, blocks, seed) as client:
                    samples.write(client.communicate()[0])
                if client.returncode:
                    raise SystemExit("fidelity: the flows were not made")
                return {
                    arms.BUCKET: bed.dropped(testbed.CLIENT, "@buckets"),
                    arms.WINDOW: bed.dropped(testbed.CLIENT, "@windows"),
                    "police": bed.dropped(testbed.PROXY, "@ip_"),
                }
    finally:
        testbed.down(bed.name)


def make(path, bed, rtts, congestions, blocks, seed):
    """Measure all cells into a run directory."""
    path.mkdir(parents=True)
    made = run.Conditions(
        name="fidelity",
        plan="bench/fidelity",
        seed=seed,
        started=datetime.now(UTC).isoformat(),
        arms=tuple(run.Arm(name=arm.name, description=arm.words) for arm in arms.ARMS),
        reference=arms.BUCKET,
        probes=("tcp",),
        versions={"python": platform.python_version(), "kernel": platform.release()},
        machine={"load": Path("/proc/loadavg").read_text().split()[0]},
        clock={"source": "monotonic"},
    )
    (path / run.CONDITIONS).write_bytes(run.conditions.dump_json(made))
    (path / "policy.yaml").write_text(arms.policy())
    drops = {}
    with (path / run.SAMPLES).open("wb") as samples:
        for congestion, rtt in itertools.product(congestions, rtts):
            drops[f"{congestion} {rtt} ms"] = measure(bed, rtt, congestion, blocks, seed, path, samples)
            print(f"{congestion} {rtt} ms: measured", file=sys.stderr, flush=True)
    (path / "drops.json").write_text(json.dumps(drops))


def main():
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("run", type=Path, nargs="?", default=ROOT / "build/fidelity")
    asked.add_argument("--quick", action="store_true", help="one cell and three blocks, to see that it works")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--into", type=Path, help="put the tables between the marks in this document")
    asked.add_argument("--name", default="fidelity", help="of the testbed")
    options = asked.parse_args()
    if not options.run.exists():
        cells = ((20,), ("cubic",), 3) if options.quick else (RTTS, CONGESTIONS, BLOCKS)
        try:
            make(options.run, Bed(options.name), *cells, options.seed)
        except testbed.TestbedError as error:
            sys.exit(f"fidelity: {error}")
    text = table.tables(options.run)
    if options.into:
        before, _, rest = options.into.read_text().partition(table.BEGIN)
        options.into.write_text(before + table.BEGIN + "\n\n" + text + "\n" + table.END + rest.partition(table.END)[2])
    else:
        print(text)


if __name__ == "__main__":
    main()
