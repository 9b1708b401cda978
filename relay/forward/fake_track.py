"""Loss and jitter of what a rule receives: the slow twin of ext/track.h (RFC 3550, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DROPOUT = 3000
"""A larger step is another beginning, once the next packet has confirmed it."""
MAX_MISORDER = 100
"""Steps back that are late packets."""
MAX_ABSENT = 50
"""Packets of other SSRCs after which ours is gone: retransmissions have SSRCs of their own."""
MAX_SECONDS = 10
"""Of a step in the timestamps; a larger one is no jitter."""


@dataclass(slots=True)
class Track:
    """Follows one SSRC. ``jitter`` is 16 times that of section A.8, in units of ``clock`` Hz.

    While ``clock`` is 0 there is none.
    """

    ssrc: int | None = None
    jitter: int = 0
    clock: int = 0
    _highest: int = 0
    _next: int | None = None
    _absent: int = 0
    _transit: int = 0

    def packet(self, ssrc: int, sequence: int, timestamp: int, clock: int, now: int) -> int:
        """Returns how many numbers were skipped before this packet, or -1 if it was late or came twice.

        ``clock`` is that of its payload type in Hz, 0 where it tells nothing about jitter. ``now`` is in ns.
        """
        if self.ssrc not in (None, ssrc) and self._absent < MAX_ABSENT:
            self._absent += 1
            return 0
        step = (sequence - self._highest) % 2**16
        skipped = 0
        if self.ssrc != ssrc:
            self.ssrc, self.clock, self.jitter = ssrc, 0, 0
            self._next, self._highest = None, sequence
        elif MAX_DROPOUT <= step <= 2**16 - MAX_MISORDER:
            if sequence != self._next:
                self._next = (sequence + 1) % 2**16
                return 0
            self._next, self._highest = None, sequence
        elif step == 0 or step >= MAX_DROPOUT:
            skipped = -1
        else:
            skipped, self._highest = step - 1, sequence
        self._absent = 0
        if clock:
            self._measure(timestamp, clock, now)
        return skipped

    def _measure(self, timestamp: int, clock: int, now: int) -> None:
        transit = (now // 1000 * clock // 1_000_000 - timestamp) % 2**32
        step = (transit - self._transit) % 2**32
        step = min(step, 2**32 - step)
        if self.clock != clock:
            self.jitter = 0
        elif step < MAX_SECONDS * clock:
            self.jitter += step - (self.jitter + 8 >> 4)
        self.clock, self._transit = clock, transit
