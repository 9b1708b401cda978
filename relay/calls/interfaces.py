"""Logical interfaces: names for groups of local addresses."""

from __future__ import annotations

from collections.abc import Sequence

from relay.calls.addresses import host
from relay.calls.resources import LocalAddress
from relay.forward.rule import Address
from sdp.values import valueclass


@valueclass
class Interfaces:
    """The addresses of the configuration, in its order; the first name is the default."""

    addresses: tuple[LocalAddress, ...]
    ports: range = range(0)
    """Where our media ports are."""

    def is_ours(self, remote: Address | None) -> bool:
        """It is one of our media ports, or could be: who names it as his own wants a loop."""
        if remote is None or remote[1] not in self.ports:
            return False
        found = host(remote[0])
        return any(found in (host(at.address), host(at.advertised)) for at in self.addresses)

    @property
    def default(self) -> str:
        """The name used where a proxy names none."""
        return self.addresses[0].name

    def known(self, name: str) -> bool:
        """Some address bears this name."""
        return any(at.name == name for at in self.addresses)

    def choose(self, name: str, family: str, every: bool) -> Sequence[LocalAddress]:
        """Addresses of an interface, the wanted family first.

        Only the best one unless ``every`` (ICE offers them all). Where the
        interface has no address of that family, the other family serves.
        """
        own = sorted((at for at in self.addresses if at.name == name), key=lambda at: at.family != family)
        return own if every else own[:1]
