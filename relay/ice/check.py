"""One connectivity check of ours: a STUN transaction and when to repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field

RTO = 0.1
"""Seconds to the first repeat. The peer answers checks at once, and most paths are shorter."""
PATIENT = 1.0
"""The same where a path is to be timed: which one of two sends was answered, nobody knows."""
SENDS = 6
"""At 0, 0.1, 0.3, 0.7, 1.5 and 3.1 s; given up at 6.3 s."""
UNLIKELY = 4
"""Sends after which no answer means that the path is dead rather than slow: at 0.7 s."""


@dataclass(slots=True)
class Check:
    """A check on its way, first sent at ``since``.

    ``due`` is when ``repeat`` has to be called.
    """

    transaction: bytes
    datagram: bytes
    nominate: bool
    controlling: bool
    """The role that was claimed in it."""
    since: float
    rto: float = RTO
    sends: int = 1
    once: bool = field(init=False, default=True)
    """It was sent once only, so that its answer tells the round trip."""
    due: float = field(init=False)

    def __post_init__(self) -> None:
        self.due = self.since + self.rto

    def again(self, now: float) -> bytes:
        """What to send now that it may get through: the repeats begin anew."""
        self.sends, self.since, self.due, self.once = 1, now, now + self.rto, False
        return self.datagram

    def repeat(self, now: float) -> bytes | None:
        """What to send once more, or None when it was sent often enough."""
        if self.sends == SENDS:
            return None
        self.due = now + self.rto * 2**self.sends
        self.sends += 1
        self.once = False
        return self.datagram
