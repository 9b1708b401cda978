"""What an ICE agent notes of one path: the trust that it has earned, and what is going on there."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.ice.check import Check
from relay.ice.consent import Consent
from relay.ice.round_trip import RoundTrip

NEVER = float("-inf")


@dataclass(slots=True)
class PathState:
    """What is known about a path."""

    sender: str | None = None
    """The ufrag that the peer gave in an authenticated request from here."""
    heard: float = NEVER
    """When the last such request came, repeats left aside."""
    answered: bool = False
    """A check of ours was."""
    answered_at: float = NEVER
    nominated: bool = False
    """The peer asked for it, and was not given it yet."""
    nominated_at: float = NEVER
    priority: int = 0
    """Of the peer's candidate, as it said when it nominated."""
    raced: bool = False
    """It was checked against the selected path, which happens once while it is new."""
    racing: bool = False
    """The selected path has not answered since."""
    lost: bool = False
    """Consent to send here is over."""
    consent: Consent | None = None
    """Since it was selected."""
    octets_in: int = 0
    octets_out: int = 0
    check: Check | None = None
    trip: RoundTrip = field(default_factory=RoundTrip)

    @property
    def valid(self) -> bool:
        """An authenticated request came from there, or a check of ours was answered."""
        return self.sender is not None or self.answered
