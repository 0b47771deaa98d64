"""Apps that know their server's certificate refuse the proxy's: after the first failure their host is left alone.

So is a browser that does not trust the study's CA yet, which is why a failure is forgotten after a while. Bounded,
in memory only; `now` is an argument.
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

    def failed(self, client: str, host: str, now: float) -> None:
        """Note that this client refused the certificate for this host."""
        self.failures += 1
        self._since[client, host] = now
        self._since.move_to_end((client, host))
        if len(self._since) > self._limit:
            self._since.popitem(last=False)

    def tunnels(self, client: str, host: str, now: float) -> bool:
        """Whether the client's next connection to this host is to be left alone."""
        since = self._since.get((client, host))
        if since is None:
            return False
        if now - since < self._forget_after:
            return True
        del self._since[client, host]
        return False

    def forget(self, client: str) -> None:
        """Try again: the client says that it trusts the CA now."""
        for pair in [pair for pair in self._since if pair[0] == client]:
            del self._since[pair]
