"""Where everything is, as a browser writes it. Names under `.lab` exist only through the proxy."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """`site` and `check` are names that the proxy connects to the site, `check` also with TLS under the lab's CA."""

    own: str  # the site's own loopback address, `http://127.0.0.1:8081`
    proxy: str  # `host:port`, as a browser reaches it
    site: str = "shaper.lab"  # these two as in proxy.site
    check: str = "check.shaper.lab"
    lab: str = ""  # where the test's pieces are, `https://photos.lab`; empty: there is no test

    @property
    def proxy_host(self) -> str:
        return self.proxy.rpartition(":")[0]

    @property
    def proxy_port(self) -> str:
        return self.proxy.rpartition(":")[2]

    @property
    def lab_host(self) -> str:
        return urlsplit(self.lab).hostname or ""

    @property
    def trusted_hosts(self) -> list[str]:
        """Return the names that the site answers to; any other is somebody's rebinding trick."""
        return [urlsplit(self.own).hostname or "", "127.0.0.1", "localhost", self.site, self.check]
