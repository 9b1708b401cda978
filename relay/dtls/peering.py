"""The handshakes with one peer: the one that counts, and one that wants to take its place.

No I/O and no clock, like ``handshake``. A ClientHello that does not belong to a
handshake may be a peer that begins anew, or anybody's with a forged source
(RFC 6347, section 4.2.8). So

- while the first handshake runs, another ClientHello replaces it, but not
  within ``RESTART_EVERY`` of the last one that was let in;
- once there were keys, the new handshake runs beside: the keys stay in use, and
  our last flight is still there to be repeated, until it has keys as well. If
  it comes to nothing, nothing has changed.

An active end is never asked to begin: the peer is the one that waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Failed, Handshake, Keys, Reason, Restart, Role, Send, State
from relay.dtls.identity import Identity

RESTART_EVERY = 1.0
"""Seconds; the first repeat of a ClientHello comes as late (RFC 6347, section 4.2.4.1)."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Output: a peer that had its keys began anew, and then did not complete. The keys stay."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Ignored:
    """Output: a ClientHello at a time, or in a role, in which there should be none."""


Output: TypeAlias = Send | Keys | Failed | Unfinished | Ignored


class Peering:
    """One peer, over one component. Owned by one thread at a time; a call may compute for 0.5 ms.

    ``expected``: see ``Handshake``.
    """

    def __init__(self, identity: Identity, role: Role, expected: Sequence[Fingerprint]) -> None:
        self.role = role
        self._identity, self._expected = identity, expected
        self._earned = math.inf
        self._first = self._new()
        self._next: Handshake | None = None
        self._let_in: float | None = None
        """When a ClientHello last began a handshake."""

    @property
    def state(self) -> State:
        """Of the handshake that counts."""
        return self._first.state

    @property
    def holds_back(self) -> bool:
        """Something waits until more is earned."""
        return self._first.holds_back or (self._next is not None and self._next.holds_back)

    @property
    def deadline(self) -> float | None:
        """When to call ``advance``, unless something is received before."""
        handshakes = (self._first, self._next) if self._next else (self._first,)
        return min((one.deadline for one in handshakes if one.deadline is not None), default=None)

    def advance(self, now: float, datagram: bytes | None = None, earned: float = math.inf) -> list[Output]:
        """There is a path to the peer; a datagram came, or time has passed. Never raises.

        ``earned`` by where the datagram came from, or where to what comes out goes: see ``Handshake``.
        """
        self._earned = self._first.earned = earned
        if self._next is not None:
            self._next.earned = earned
        outputs = self._take(self._first.start(now))
        if datagram is not None:
            outputs += self._received(datagram, now)
        outputs += self._take(self._first.timeout(now))
        if self._next is not None:
            outputs += self._take_next(self._next.timeout(now))
        return outputs

    def _received(self, datagram: bytes, now: float) -> list[Output]:
        if self._next is not None:
            outputs = self._next.received(datagram, now)
            if Restart() not in outputs:
                # Nothing for it: perhaps a repeat for the first one, which wants our last flight.
                return self._take_next(outputs) or self._take(self._first.received(datagram, now))
            return self._begin_again(datagram, now)
        before = self._first.state
        outputs = self._first.received(datagram, now)
        if Restart() in outputs:
            return self._begin_again(datagram, now)
        if before is State.IDLE and self._first.state is not State.IDLE:
            self._let_in = now
        return self._take(outputs)

    def _begin_again(self, datagram: bytes, now: float) -> list[Output]:
        too_soon = self._let_in is not None and now < self._let_in + RESTART_EVERY
        if self.role is Role.ACTIVE or too_soon:
            return [Ignored()]
        self._let_in = now
        fresh = self._new()
        if self._first.state is State.DONE:
            self._next = fresh
            return self._take_next(fresh.received(datagram, now))
        self._first = fresh
        return self._take(fresh.received(datagram, now))

    def _take_next(self, outputs: Sequence[Send | Keys | Failed | Restart]) -> list[Output]:
        found: list[Output] = []
        for output in outputs:
            if isinstance(output, Failed):
                self._next = None
                found.append(Unfinished(output.reason))
            elif not isinstance(output, Restart):
                found.append(output)
        if any(isinstance(output, Keys) for output in found):
            assert self._next is not None
            self._first, self._next = self._next, None
        return found

    def _take(self, outputs: Sequence[Send | Keys | Failed | Restart]) -> list[Output]:
        """A ClientHello that is another one's is not looked at by the handshake that counts."""
        return [output for output in outputs if not isinstance(output, Restart)]

    def _new(self) -> Handshake:
        return Handshake(self._identity, self.role, self._expected, earned=self._earned)
