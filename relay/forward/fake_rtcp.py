"""RTCP on its way: what a peer is not to get, and what it reports.

The slow twin of ext/rtcp.pxi and ext/reports.pxi.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from relay.forward.plane import MAX_REPORTED, Reported

SR, RR, RTPFB, PSFB = 200, 201, 205, 206
"""Packet types (RFC 3550, section 12.1; RFC 4585, section 9)."""

HEADS = {SR: 28, RR: 8}
"""Octets before the blocks of a report."""
BLOCK = 24
LONGEST_JITTER = 1 << 20
"""Timestamp units, 12 s of video: more is a mistake, or a lie."""
LONGEST_TRIP = 10_000_000
"""Microseconds; the same."""
DRIFT = 10_000
"""Microseconds by which a peer's clock may be wrong on a short way."""


def without_feedback(compound: bytes) -> bytes | None:
    """Plain RTCP without its RTPFB and PSFB packets; None if what is left is no compound.

    It must begin with a report (RFC 3550, section 6.1). A compound without
    feedback is not judged, and neither is what cannot be read.

    >>> report, loss = bytes([0x80, 201, 0, 1, 0, 0, 0, 7]), bytes([0x81, 206, 0, 2]) + bytes(8)
    >>> without_feedback(report + loss) == report
    True
    """
    kept = b"".join(packet for packet, type in packets(compound) if type not in (RTPFB, PSFB))
    if kept == compound:
        return compound
    return kept if kept[1:2] in (bytes([SR]), bytes([RR])) else None


def packets(compound: bytes) -> Iterator[tuple[bytes, int | None]]:
    """Each RTCP packet with its type; at the end, without a type, what is no whole packet."""
    while compound:
        size = 4 * (int.from_bytes(compound[2:4], "big") + 1)
        if len(compound) < max(4, size) or compound[0] >> 6 != 2:
            yield compound, None
            return
        yield compound[:size], compound[1]
        compound = compound[size:]


@dataclass(slots=True)
class _Stream:
    """An SSRC that the peer was sent a report of; ``sent``: NTP and time of the latest two."""

    reported: Reported
    sent: list[tuple[int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Reports:
    """What one rule's peer is sent in sender reports, and says in its own. ``now`` is seconds."""

    streams: list[_Stream] = field(default_factory=list)
    used: int = 0

    def note_sent(self, compound: bytes, now: float) -> None:
        """It leaves towards the peer now."""
        for packet, type in packets(compound):
            if type == SR and len(packet) >= HEADS[SR]:
                stream = self._stream(int.from_bytes(packet[4:8], "big")) or self._add(packet[4:8])
                stream.sent = [(int.from_bytes(packet[10:14], "big"), now), *stream.sent[:1]]

    def take(self, block: bytes, now: float) -> bool:
        """A report block; False if it is about an SSRC that the peer was sent no report of."""
        stream = self._stream(int.from_bytes(block[:4], "big"))
        if stream is None:
            return False
        trip, known = _round_trip(stream, block, now), stream.reported
        lost = int.from_bytes(block[5:8], "big", signed=True)
        stream.reported = known._replace(
            blocks=known.blocks + 1,
            fraction=known.fraction + block[4],
            lost=max(0, lost),
            jitter=known.jitter + min(int.from_bytes(block[12:16], "big"), LONGEST_JITTER),
            round_trips=known.round_trips + (trip is not None),
            round_trip=known.round_trip + (trip or 0),
        )
        return True

    def told(self) -> tuple[Reported, ...]:
        """See ``Plane.reports``."""
        return tuple(stream.reported for stream in self.streams if stream.reported.blocks)

    def _stream(self, ssrc: int) -> _Stream | None:
        return next((stream for stream in self.streams if stream.reported.ssrc == ssrc), None)

    def _add(self, ssrc: bytes) -> _Stream:
        """The oldest one makes room."""
        new = _Stream(Reported(int.from_bytes(ssrc, "big"), 0, 0, 0, 0, 0, 0))
        if self.used < MAX_REPORTED:
            self.streams.append(new)
        else:
            self.streams[self.used % MAX_REPORTED] = new
        self.used += 1
        return new


def _round_trip(stream: _Stream, block: bytes, now: float) -> int | None:
    """Microseconds to the peer and back; None if the block does not tell."""
    named, held = (int.from_bytes(block[place : place + 4], "big") for place in (16, 20))
    at = next((at for ntp, at in stream.sent if ntp and ntp == named), None)  # 0: no clock, or no report came
    if at is None:
        return None
    trip = round((now - at) * 1e6) - (held * 1_000_000 >> 16)
    return max(trip, 0) if -DRIFT <= trip <= LONGEST_TRIP else None


def blocks(compound: bytes) -> Iterator[bytes]:
    """The report blocks of a compound."""
    for packet, type in packets(compound):
        if type in (SR, RR):
            count, head = packet[0] & 31, HEADS[type]
            for place in range(head, head + BLOCK * count, BLOCK):
                if place + BLOCK <= len(packet):
                    yield packet[place : place + BLOCK]
