"""Where the proxy may connect to for somebody else: the public Internet, and what was allowed by name.

A proxy can be asked to reach what only its own machine can: its admin pages, its neighbours, the cloud's metadata
service. So what counts is the address that a name resolved to, not the name, and every IPv4 address hidden in an IPv6
one. Ask before connecting, with all resolved addresses, and again with the address that was connected to, because a
name may resolve differently the second time (DNS rebinding). Pure: resolves nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from shaper.policy.host import canonical, host_pattern
from shaper.policy.refused import RefusedError
from shaper.policy.target import HostSet

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

METADATA = frozenset(map(ip_address, ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254")))
COMPATIBLE = ip_network("::/96")  # of IPv4 addresses, RFC 4291
TRANSLATED = ip_network("64:ff9b::/96")  # of IPv4 addresses, RFC 6052

UNICAST = ip_network("2000::/3")  # all that is given out for the public Internet, RFC 4291


class Refusal(StrEnum):
    """Why a destination is refused. A closed list: it labels metrics."""

    OWN_PORT = "own-port"  # the proxy itself; nothing allows this
    METADATA = "metadata"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    PRIVATE = "private"  # any other range that the public Internet does not route
    UNRESOLVED = "unresolved"  # no address to judge by


@dataclass(frozen=True, slots=True)
class Destinations:
    """What one proxy may connect to. `addresses` are its own machine's, `ports` those that it listens on."""

    hosts: HostSet
    networks: tuple[Network, ...] = ()
    addresses: frozenset[Address] = frozenset()
    ports: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, allowed: Iterable[str], addresses: Iterable[str] = (), ports: Iterable[int] = ()) -> "Destinations":
        """Read `--allow-destination` values: a host, `*.suffix`, an address or a network such as 10.1.0.0/16."""
        hosts, networks = [], []
        for text in allowed:
            try:
                networks.append(ip_network(text.strip("[]")))
            except ValueError:
                try:
                    hosts.append(host_pattern(text))
                except RefusedError as error:
                    problem = f"--allow-destination: {error.problem}"
                    raise RefusedError(problem, 'write a host, "*.suffix", an address or a network') from None
        return cls(HostSet(hosts), tuple(networks), frozenset(map(ip_address, addresses)), frozenset(ports))

    def refusal(self, host: str, addresses: Iterable[str], port: int) -> Refusal | None:
        """Return why a connection to `host`, which resolved to these addresses, is not made. Never raises."""
        try:
            found = [ip_address(address) for address in addresses]
        except ValueError:
            found = []
        if not found:
            return Refusal.UNRESOLVED
        if port in self.ports and any(map(self._own, found)):
            return Refusal.OWN_PORT
        if canonical(host) in self.hosts:
            return None
        return next(filter(None, map(self._judge, found)), None)

    def _own(self, address: Address) -> bool:
        return any(one in self.addresses or one.is_loopback or one.is_unspecified for one in _readings(address))

    def _judge(self, address: Address) -> Refusal | None:
        return next(filter(None, map(self._judge_reading, _readings(address))), None)

    def _judge_reading(self, address: Address) -> Refusal | None:
        return None if any(address in network for network in self.networks) else _kind(address)


def _readings(address: Address) -> Iterator[Address]:
    """Yield the address and every IPv4 address that a gateway or the kernel may read in it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    teredo = address.teredo or ()
    for inner in (address.ipv4_mapped, address.sixtofour, *teredo):
        if inner is not None:
            yield inner
    if address in COMPATIBLE or address in TRANSLATED:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _kind(address: Address) -> Refusal | None:
    if address in METADATA:
        return Refusal.METADATA
    if address.is_loopback or address.is_unspecified:  # Linux takes 0.0.0.0 for loopback
        return Refusal.LOOPBACK
    if address.is_link_local:
        return Refusal.LINK_LOCAL
    if address.is_multicast:
        return Refusal.MULTICAST
    return None if _is_public(address) else Refusal.PRIVATE


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in TRANSLATED or address.ipv4_mapped:
            return True  # what counts is the IPv4 address within
        return address.is_global and address in UNICAST
    return address.is_global
