"""How another policy comes into force in a run, by SIGHUP or through the control API: checked alike, told alike."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shaper.cli.certified import Certified
from shaper.policy.load import PolicyError, load
from shaper.policy.model import Policy
from shaper.policy.refused import RefusedError
from shaper.proxy.server import Proxy

if TYPE_CHECKING:
    from shaper.cli.volunteering import Volunteering


@dataclass(frozen=True, slots=True)
class Adoption:
    """Called on the event loop, so that nothing passes between the old policy and the new one."""

    source: Path | None  # None: the policy came from --limit
    certified: Certified
    proxy: Proxy
    volunteers: "Volunteering | None"

    def adopt(self, policy: Policy) -> None:
        """Put a policy in force, and ask volunteers anew where their text changes. One refused changes nothing."""
        try:
            self.certified.check(policy)
            if self.volunteers:
                self.volunteers.fits(policy)
            self.proxy.swap(policy)
        except RefusedError:
            self.proxy.metrics.policy_refused()
            raise
        if self.volunteers:
            self.volunteers.change(policy)

    def reload(self) -> Policy:
        """Read the policy file again and put it in force."""
        if self.source is None:
            raise RefusedError("nothing to reload: the policy came from --limit", "apply a policy instead")
        try:
            policy = load(self.source)
        except PolicyError:
            self.proxy.metrics.policy_refused()
            raise
        self.adopt(policy)
        return policy
