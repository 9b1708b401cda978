"""How much is sent to a host that has not answered, because a party named it.

A check is sent up to six times, to each candidate, of each media: whoever names
somebody else's address in one short INVITE would have us flood that host. So
all checks that nobody has answered yet are held to a multiple of what the party
has sent us, as QUIC does it (RFC 9000, section 8.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.dtls.handshake import AMPLIFICATION

HEADERS = 300
"""Octets of the message that a description came in: no INVITE, 200 or INFO has less."""


@dataclass(slots=True)
class Allowance:
    """Octets that may go where one party is said to be, before anything was answered from there.

    >>> allowance = Allowance()
    >>> allowance.described("v=0" * 20)
    >>> [allowance.spend("192.0.2.9", 400) for _ in range(3)]
    [True, True, False]
    >>> allowance.answered("192.0.2.9")
    >>> allowance.spend("192.0.2.9", 400)
    True
    """

    earned: int = 0
    """What it sent: descriptions, fragments, and checks that were signed by it."""
    refused: int = 0
    """Checks that were not sent."""
    _latest: int = 0
    """Hash of its latest description: a forked call brings the same one for every phone that rings."""
    _spent: int = 0
    _hosts: dict[str, int] | None = None
    """What of it went to which IP address."""

    def described(self, text: str) -> None:
        """It sent a description or a fragment."""
        latest = hash(text)
        if latest != self._latest:
            self._latest = latest
            self.earned += HEADERS + len(text)

    def checked(self, octets: int) -> None:
        """It sent a signed check. The source may be forged, so that earns no more than octets."""
        self.earned += octets

    def spend(self, host: str, octets: int) -> bool:
        """Whether so much may go to ``host``."""
        if self._spent + octets > AMPLIFICATION * self.earned:
            self.refused += 1
            return False
        self._spent += octets
        hosts = self._hosts = {} if self._hosts is None else self._hosts
        hosts[host] = hosts.get(host, 0) + octets
        return True

    def answered(self, host: str) -> None:
        """Whoever is at ``host`` wants our checks: those that went there do not count any more."""
        if self._hosts:
            self._spent -= self._hosts.pop(host, 0)
