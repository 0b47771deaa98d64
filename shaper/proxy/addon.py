"""Shaper as an addon of the mitmproxy tools: `mitmdump -s "$(shaper addon)" --set shaper_policy=FILE`, mitmweb alike.

The tool keeps its own CA, listener and user interface. A change of `shaper_policy` at run time swaps the policy; a
broken file is refused in one line and the running policy stays.
"""

import logging
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
        self._running = False

    def load(self, loader: Loader) -> None:
        """Declare the options."""
        gate.install()
        trailers.install()
        loader.add_option("shaper_policy", str, "", "The shaper policy file.")
        loader.add_option("shaper_journal", str, "", "Append one JSON line a response to this file.")
        loader.add_option("shaper_metrics", str, "", "Serve metrics at HOST:PORT.")

    def configure(self, updated: set[str]) -> None:
        """Take the options, or refuse them in one line."""
        try:
            if "shaper_policy" in updated and ctx.options.shaper_policy:
                self._use(Path(ctx.options.shaper_policy))
            if "shaper_journal" in updated and ctx.options.shaper_journal:
                before, self._journal = self._journal, Journal(Path(ctx.options.shaper_journal), self._metrics)
                for admitting in self.addons:
                    admitting.shaping.recorders = [self._journal]
                if before:
                    before.close()
            if "shaper_metrics" in updated and ctx.options.shaper_metrics:
                host, _, port = ctx.options.shaper_metrics.rpartition(":")
                self._exposition = serve(self._metrics, host, int(port))
        except (policies.PolicyError, RefusedError, ValueError) as error:
            self._metrics.policy_refused()
            if self._running:  # the tool then keeps the option as it was
                raise exceptions.OptionsError(str(error)) from None
            logger.error("%s", error)  # the tool stops; an exception would be told with a traceback

    def running(self) -> None:
        """Note that the tool is up."""
        self._running = True

    def _use(self, path: Path) -> None:
        policy = policies.load(path)
        for admitting in self.addons:
            admitting.shaping.swap(policy)
            return
        key = token_bytes(32)
        shaping = Shaping(Judge(policy, key), self._metrics, [self._journal] if self._journal else [], key=key)
        shaping.enforce(policy)
        self._metrics.policy_loaded(policy)
        admitting = Admitting(shaping, None, Standing())
        admitting.attach(ctx.master.addons.get("nextlayer"), ctx.master.addons.get("proxyserver").connections)
        self.addons.append(admitting)

    def done(self) -> None:
        """Flush and stop."""
        for admitting in self.addons:
            admitting.shaping.close()
        if self._journal:
            self._journal.close()
        if self._exposition:
            self._exposition.close()


addons = [ShaperAddon()]
