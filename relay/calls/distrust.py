"""What parties say of themselves is not believed blindly: where nothing is sent, whoever asks for it.

A description names any address. What goes there leaves from one of our ports,
and part of it is the caller's own choice: whole datagrams of media that is not
RTP, the ufrag in our checks. Programs on this host, the ng socket first of all,
take what comes from here for a friend's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.calls.addresses import Scope, scope
from relay.calls.interfaces import Interfaces
from relay.calls.resources import LocalAddress
from relay.forward.rule import Address

OWN_PORT = "own media port"
OWN_SERVICE = "own service"
SCOPE = "scope"
UNANSWERED = "unanswered checks"
"""See ``relay.calls.allowance``; counted when a leg ends."""
NOTES = {
    OWN_PORT: "a party named a media port of ours as its own: not sent to",
    OWN_SERVICE: "a party named an address as its own where we listen for signalling: not sent to",
    SCOPE: "a party named an address as its own that is another host's here, or nobody's: not sent to",
}
"""Why something that a party said is not followed, by reason; ``docs/operator.md`` explains them."""


@dataclass(slots=True)
class Distrust:
    """Objects to addresses that parties name, and counts."""

    interfaces: Interfaces
    serves: Callable[[Address], bool] = lambda remote: False
    """Whether a socket of ours listens for signalling at what a peer names."""
    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys((*NOTES, UNANSWERED), 0)))

    def of(self, remote: Address, at: LocalAddress) -> str | None:
        """Why nothing is sent to ``remote`` from ``at``, counted; None: nothing is against it."""
        reason = self._objection(remote, at)
        if reason is not None:
            self.counts[reason] += 1
        return reason

    def believed(self, remote: Address | None, at: LocalAddress, notes: list[str]) -> Address | None:
        """``remote``, or None with a note for the log where it is not sent to."""
        reason = self.of(remote, at) if remote is not None else None
        if reason is None:
            return remote
        notes.append(NOTES[reason])
        return None

    def _objection(self, remote: Address, at: LocalAddress) -> str | None:
        reach = scope(remote[0])
        # A loopback or link-local peer is possible where we are on loopback, or on that link, ourselves.
        if reach is Scope.NOBODY or (reach is not Scope.WIDER and reach is not scope(at.address)):
            return SCOPE
        if self.interfaces.is_ours(remote):
            return OWN_PORT
        return OWN_SERVICE if self.serves(remote) else None
