"""Consent to go on sending on a path (RFC 7675): when to ask for it, and when it is over.

Everything that the peer authenticated is a sign of it, its checks and SRTP as
well as answers to ours, so that a peer which talks is hardly ever asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INTERVAL = 5.0
"""Seconds between two looks, times 0.8 to 1.2 so that calls do not fall into step."""
QUIET = 4.0
"""Seconds without a sign of the peer before it is asked."""
TIMEOUT = 30.0
"""Seconds without a sign of the peer after which nothing more may be sent."""


@dataclass(slots=True)
class Consent:
    """Of one path, from when it was selected."""

    given: float
    """When the peer gave its last sign."""
    _look: float = field(init=False, default=float("-inf"))

    @property
    def deadline(self) -> float:
        """When to look again."""
        return min(self._look, self.given + TIMEOUT)

    def renew(self, now: float) -> None:
        """The peer gave a sign."""
        self.given = max(self.given, now)

    def plan(self, now: float, chance: float) -> None:
        """Look again in a while; ``chance`` is evenly spread over 0 .. 1."""
        self._look = now + INTERVAL * (0.8 + 0.4 * chance)

    def is_over(self, now: float) -> bool:
        return now >= self.given + TIMEOUT

    def is_asked_for(self, now: float) -> bool:
        """Time to look, and nothing was heard of the peer lately."""
        return now >= self._look and now - self.given >= QUIET
