"""`python -m bench.fuzz [--seconds 60] [LAW ...]`: look for a way to break a law; by default each of them in turn.

With atheris (`pip install atheris`; it is no dependency) the search is guided: libFuzzer keeps the rounds that went
through code as none did before and plays on from them. Without it rounds are drawn blindly. What breaks a law is
kept by hypothesis, so that the test itself shows it next, made small; it then becomes an `@example` there.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic

from bench.fuzz.laws import LAWS, play

GUIDED = """
import sys, atheris
with atheris.instrument_imports(include=["shaper"]):
    from bench.fuzz.laws import play
    one = play(sys.argv.pop(1))
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("laws", nargs="*", metavar="LAW", help=f"any of {', '.join(LAWS)}")
    parser.add_argument("--seconds", type=float, default=60, help="for each law")
    options = parser.parse_args()
    if unknown := set(options.laws) - LAWS.keys():
        parser.error(f"no such law: {', '.join(unknown)}; name any of {', '.join(LAWS)}")
    fuzz = guided if importlib.util.find_spec("atheris") else blind
    broken = [law for law in options.laws or LAWS if not fuzz(law, options.seconds)]
    print(f"broken: {', '.join(broken)}" if broken else "No law was broken.")
    return bool(broken)


def guided(law: str, seconds: float) -> bool:
    """Search with libFuzzer, which ends its process; return whether the law held."""
    with TemporaryDirectory(prefix="shaper-fuzz-") as home:
        limits = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-timeout=30", "-rss_limit_mb=4096"]
        ended = subprocess.run(
            [sys.executable, "-c", GUIDED, law, f"-artifact_prefix={home}/", *limits],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, text=True, check=False, stderr=subprocess.PIPE,
        )  # fmt: skip
    progress = re.findall(r"^#(\d+)\s+\w+\s+cov: (\d+)", ended.stderr, re.MULTILINE)
    report(law, ended.returncode == 0, "{} rounds, {} places reached".format(*progress[-1]) if progress else "")
    if ended.returncode:
        print(ended.returncode, ended.stderr[-4000:])
    return ended.returncode == 0


def blind(law: str, seconds: float) -> bool:
    """Draw rounds; return whether the law held."""
    one, chance, rounds, end = play(law), Random(), 0, monotonic() + seconds
    while monotonic() < end:
        try:
            one(chance.randbytes(chance.randrange(4096)))
        except Exception as error:
            report(law, False, f"{rounds} rounds: {error!r}")
            return False
        rounds += 1
    report(law, True, f"{rounds} rounds")
    return True


def report(law: str, held: bool, what: str) -> None:
    print(f"{law:15} {'held' if held else 'BROKEN':7} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
