"""Shaper as an addon of the mitmproxy tools: `mitmdump -s "$(shaper addon)" --set shaper_policy=FILE`, mitmweb alike.

The tool keeps its own CA, listener and user interface. A change of `shaper_policy` at run time swaps the policy; a
broken file is refused in one line and the running policy stays.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from secrets import token_bytes

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from shaper.policy import load as policies  # mitmproxy takes a function `load` in a script for its hook
from shaper.policy.admission import Standing
from shaper.policy.judge import Judge
from shaper.policy.refused import RefusedError
from shaper.proxy import gate, trailers
from shaper.proxy.admitting import Admitting
from shaper.proxy.shaping import Shaping
from shaper.record.exposition import Exposition, serve
from shaper.record.journal import Journal
from shaper.record.metrics import Metrics

logger = logging.getLogger(__name__)


class ShaperAddon:
    """Takes the options. Once a policy is set, `addons` holds what does the work; without one the tool is as it was."""

    def __init__(self) -> None:
        self.addons: list[Admitting] = []  # mitmproxy calls the hooks of these too
        self._metrics = Metrics()
        self._journal: Journal | None = None
        self._exposition: Exposition | None = None
        self._taken: dict[str, str] = {}
        self._refused = ""  # the option that the tool is about to put back to what is in force still
        self._running = False

    def load(self, loader: Loader) -> None:
        """Declare the options."""
        gate.install()
        trailers.install()
        loader.add_option("shaper_policy", str, "", "The shaper policy file.")
        loader.add_option("shaper_journal", str, "", "Append one JSON line a response to this file.")
        loader.add_option("shaper_metrics", str, "", "Serve metrics at HOST:PORT.")

    def configure(self, updated: set[str]) -> None:
        """Take the options, or refuse one in one line. To name the same policy again is to reload it."""
        for option, take in (
            ("shaper_policy", self._use),
            ("shaper_journal", self._write_to),
            ("shaper_metrics", self._serve_at),
        ):
            value = getattr(ctx.options, option)
            is_new = value != self._taken.get(option, "") or (value and option == "shaper_policy")
            if option in updated and option != self._refused and is_new:
                self._take(option, value, take)
        self._refused = ""

    def _take(self, option: str, value: str, take: Callable[[str], None]) -> None:
        try:
            take(value)
            self._taken[option] = value
        except (policies.PolicyError, RefusedError) as error:
            if option == "shaper_policy":
                self._metrics.policy_refused()
            if self._running:
                self._refused = option
                raise exceptions.OptionsError(str(error)) from None
            logger.error("%s", error)  # the tool stops; an exception would be told with a traceback

    def running(self) -> None:
        """Note that the tool is up."""
        self._running = True

    def _use(self, path: str) -> None:
        if not path:
            remedy = "name a policy that asks for nothing, such as policies/baseline.yaml"
            raise RefusedError("shaper_policy: connections under a policy cannot go on without one", remedy)
        policy = policies.load(Path(path))
        for admitting in self.addons:
            admitting.shaping.swap(policy)
            return
        key = token_bytes(32)
        shaping = Shaping(Judge(policy, key), self._metrics, [self._journal] if self._journal else [], key=key)
        shaping.enforce(policy)
        self._metrics.policy_loaded(policy)
        self._metrics.before_scrape(shaping.tell_state)
        admitting = Admitting(shaping, None, Standing())
        admitting.attach(ctx.master.addons.get("nextlayer"), ctx.master.addons.get("proxyserver").connections)
        self.addons.append(admitting)

    def _write_to(self, path: str) -> None:
        before, self._journal = self._journal, Journal(Path(path), self._metrics) if path else None
        for admitting in self.addons:
            admitting.shaping.recorders = [self._journal] if self._journal else []
        if before:
            before.close()

    def _serve_at(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if address and not (host and port.isascii() and port.isdigit()):
            raise RefusedError(f'shaper_metrics: "{address}" is not an address', "write HOST:PORT")
        exposition = serve(self._metrics, host.strip("[]"), int(port)) if address else None
        before, self._exposition = self._exposition, exposition
        if before:
            before.close()

    def done(self) -> None:
        """Flush and stop."""
        for admitting in self.addons:
            admitting.shaping.close()
        if self._journal:
            self._journal.close()
        if self._exposition:
            self._exposition.close()


addons = [ShaperAddon()]
