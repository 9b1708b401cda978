"""What one run has shown, and how figures of several runs are put together."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the generator sent, and what became of it.

    ``received`` packets came intact, once and to whom they were meant; ``seconds``
    is how long was sent, ``processor`` the CPU seconds of the generator, and of the
    kernel's threads for deferred work meanwhile. ``histogram``
    is of the time from sending to arrival, in the native code's buckets.
    """

    seconds: float
    sent: int
    send_errors: int
    late: int
    received: int
    duplicates: int
    reordered: int
    misdelivered: int
    damaged: int
    strays: int
    checks_answered: int
    worst_lateness: float
    silent_streams: int
    processor: float
    histogram: list[int] = field(repr=False)

    @property
    def loss(self) -> float:
        """Share of the packets sent that did not arrive, 0 .. 1."""
        return 1 - self.received / self.sent if self.sent else 1.0

    @property
    def rate(self) -> float:
        """Packets sent per second."""
        return self.sent / self.seconds

    @property
    def faults(self) -> dict[str, int]:
        """What a relay must never do, where it did; loss has a figure of its own."""
        seen = {name: int(getattr(self, name)) for name in FAULTS}
        return {name: count for name, count in seen.items() if count}

    def latency(self, percent: float) -> float:
        """Seconds within which that many percent of the packets arrived; 0 if none did."""
        wanted = percent / 100 * sum(self.histogram)
        reached = 0
        for bucket, count in enumerate(self.histogram):
            reached += count
            if count and reached >= wanted:
                return upper_end(bucket) / 1e9
        return 0.0

    def later_than(self, seconds: float) -> int:
        """Packets that took longer, to the width of a bucket."""
        return sum(count for bucket, count in enumerate(self.histogram) if upper_end(bucket) > seconds * 1e9)


FAULTS = ("duplicates", "reordered", "misdelivered", "damaged", "strays", "silent_streams")


def upper_end(bucket: int) -> int:
    """The largest number of nanoseconds in a bucket of the native histogram (3 % wide above 64 ns).

    >>> upper_end(63), upper_end(64), upper_end(96)
    (63, 65, 131)
    """
    if bucket < 64:
        return bucket
    shift = bucket // 32 - 1
    return ((bucket - 32 * shift + 1) << shift) - 1


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure, measured several times."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(min(values), statistics.median(values), max(values))
