"""What mitmproxy and its libraries may write down: that something broke, of what type and where in the program.

Their messages name clients, hosts and addresses ("client connect", "the client does not trust the proxy's certificate
for ..."), and at DEBUG whole headers. Whose traffic it was is nobody's business, so only errors pass, without a word of
theirs. And what breaks for every request alike is told once a minute.
"""

import logging
import traceback

from shaper.record.log import SELDOM

TALKATIVE = ("mitmproxy", "asyncio", "hpack", "h2", "h11", "wsproto")

REPEATING = ("channel", "discretion", "shaping", "ticker")

log = logging.getLogger(__name__)


class Discreet(logging.Handler):
    """Tells of a failure in words of our own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Leave out the message, which may hold anything, and the exception's, which may too."""
        error, trace = record.exc_info[1:] if record.exc_info else (None, None)
        found = traceback.extract_tb(trace)
        place = f" at {found[-1].filename}:{found[-1].lineno}" if found else ""
        log.error("%s:%s: %s%s", record.name, record.lineno, type(error).__name__ if error else "failed", place)


DISCREET = Discreet(logging.ERROR)


def install() -> None:
    """Hold for the process, whatever the level of its own log is."""
    for name in TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        logger.handlers = [DISCREET]
    for name in REPEATING:
        logging.getLogger(f"shaper.proxy.{name}").addFilter(SELDOM)
