"""RTCP towards a peer whose profile has no feedback: the slow twin of ext/rtcp.pxi."""

from __future__ import annotations

from collections.abc import Iterator

SR, RR, RTPFB, PSFB = 200, 201, 205, 206
"""Packet types (RFC 3550, section 12.1; RFC 4585, section 9)."""


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
