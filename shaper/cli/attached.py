"""`python -m shaper.cli.attached …` is `shaper …` that ends when whoever started it is gone, even if that was killed.

Standard input says so: it is a pipe whose other end only the starter holds.
"""

import os
import signal
import sys
from threading import Thread

from shaper.cli.main import main


def _watch() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=_watch, name="attached", daemon=True).start()
    main(prog_name="shaper")
