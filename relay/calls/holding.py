"""What a call holds of the machine: its open ports and its rules.

After every change of a call ``sync`` compares what is held with what the call's
state needs: new rules are installed, and what nothing names any more is given
back. So no path through an offer, however it fails, can leak a port.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.calls.resources import LocalAddress, LocalPort, Resources
from relay.calls.rules import rules
from relay.calls.state import Call
from relay.forward.rule import Change, Drop, Rule, difference
from relay.srtp.profiles import MasterKey, Profile


@dataclass(slots=True)
class Holding:
    """Ports and rule ids of one call."""

    resources: Resources
    worker: int
    tos: int = 0
    ports: dict[int, LocalPort] = field(default_factory=dict)
    fresh: list[int] = field(default_factory=list)
    """Rule ids that were allocated since the last ``sync``."""
    installed: dict[int, Rule] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)

    def open(self, at: LocalAddress, count: int) -> list[LocalPort]:
        """One port, or a pair. Raises ``OutOfPorts``."""
        opened = self.resources.open(at, count, self.tos, self.worker)
        self.ports.update((port.handle, port) for port in opened)
        return opened

    def allocate_rule(self) -> int:
        """A free rule id. Raises ``OutOfPorts``."""
        rule = self.resources.allocate_rule()
        self.fresh.append(rule)
        return rule

    def open_keys(
        self, profile: Profile, receive: MasterKey, send: MasterKey, after: int | None = None
    ) -> int:
        """SRTP for one peer, in the place of ``after``. Raises ``KeysRefused``."""
        keys = self.resources.open_keys(profile, receive, send, after)
        self.keys.append(keys)
        return keys

    def mark(self, tos: int) -> None:
        """Use this DSCP byte from now on, for open ports as well."""
        if tos == self.tos:
            return
        self.tos = tos
        for port in self.ports.values():
            self.resources.retag(port, tos)

    def sync(self, call: Call | None) -> None:
        """Make ports and rules what ``call`` needs; None gives everything back."""
        wanted = rules(call) if call is not None else {}
        changes: list[Change] = difference(self.installed, wanted)
        changes.extend(Drop(id) for id in self.fresh if id not in wanted)
        if changes:
            self.resources.apply(changes)
        self.installed = wanted
        self.fresh = []
        if self.keys:
            self._close_all_but({rule.keys for rule in wanted.values()})
        used = {rule.port for rule in wanted.values()} | (call.reserved() if call is not None else set())
        if unused := self.ports.keys() - used:
            self.resources.close(*[self.ports.pop(handle) for handle in unused])

    def _close_all_but(self, used: set[int | None]) -> None:
        for keys in self.keys:
            if keys not in used:
                self.resources.close_keys(keys)
        self.keys = [keys for keys in self.keys if keys in used]
