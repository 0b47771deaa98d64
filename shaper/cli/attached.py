"""`python -m shaper.cli.attached …` is `shaper …` that ends when whoever started it is gone, even if that was killed.

Standard input says so: it is a pipe whose other end only the starter holds.
"""

import os
import signal
from threading import Thread

from shaper.cli.main import main

STDIN = 0


def _watch() -> None:
    while os.read(STDIN, 4096):  # not through sys.stdin: its lock would be in the way of an ordinary end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=_watch, name="attached", daemon=True).start()
    main(prog_name="shaper")
