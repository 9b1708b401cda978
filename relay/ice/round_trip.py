"""The round trip of a path, smoothed as in TCP (RFC 6298, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

GAIN = 1 / 8


@dataclass(slots=True)
class RoundTrip:
    """``seconds`` is None until something was timed.

    >>> trip = RoundTrip()
    >>> trip.took(0.1), trip.took(0.18), round(trip.seconds, 3)
    (None, None, 0.11)
    """

    seconds: float | None = None

    def took(self, seconds: float) -> None:
        """An answer came so long after what it answers, which was sent once."""
        self.seconds = seconds if self.seconds is None else self.seconds + GAIN * (seconds - self.seconds)
