"""Apps that know their server's certificate refuse the proxy's: after the first failure their host is left alone.

So is a browser that does not trust the study's CA yet, which is why a failure is forgotten after a while. Who only
hangs up may have had another reason: that counts the second time in a row. Bounded, in memory only; `now` is an
argument.
"""

from collections import OrderedDict

LIMIT = 10_000
FORGET_AFTER = 900.0  # seconds


class Pinned:
    """Pairs of client and host whose TLS handshake failed on the proxy's certificate."""

    def __init__(self, limit: int = LIMIT, forget_after: float = FORGET_AFTER) -> None:
        self.failures = 0  # counted since the start
        self._limit, self._forget_after = limit, forget_after
        self._since: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._doubted: set[tuple[str, str]] = set()  # of these, who has only hung up, and once

    def failed(self, client: str, host: str, now: float, *, silently: bool = False) -> None:
        """Note that this client refused the certificate for this host, or that it hung up `silently` when shown it."""
        pair = client, host
        self.failures += 1
        if silently and pair not in self._since:
            self._doubted.add(pair)
        else:
            self._doubted.discard(pair)
        self._since[pair] = now
        self._since.move_to_end(pair)
        if len(self._since) > self._limit:
            self._drop(next(iter(self._since)))

    def accepted(self, client: str, host: str) -> None:
        """Note that this client took the certificate for this host."""
        self._drop((client, host))

    def tunnels(self, client: str, host: str, now: float) -> bool:
        """Whether the client's next connection to this host is to be left alone."""
        since = self._since.get((client, host))
        if since is None:
            return False
        if now - since < self._forget_after:
            return (client, host) not in self._doubted
        self._drop((client, host))
        return False

    def forget(self, client: str) -> None:
        """Try again: the client says that it trusts the CA now."""
        for pair in [pair for pair in self._since if pair[0] == client]:
            self._drop(pair)

    def _drop(self, pair: tuple[str, str]) -> None:
        self._since.pop(pair, None)
        self._doubted.discard(pair)
