"""RTCP reports as phones write them (RFC 3550, section 6.4)."""

from __future__ import annotations

import struct


def sender_report(ssrc: int, ntp: int, *found: bytes) -> bytes:
    """``ntp``: the middle 32 bits of its time."""
    words = 6 + 6 * len(found)
    head = struct.pack("!BBHI", 0x80 | len(found), 200, words, ssrc)
    return head + struct.pack("!Q", ntp << 16) + bytes(12) + b"".join(found)


def receiver_report(*found: bytes) -> bytes:
    """Of a phone whose own SSRC is 7."""
    return struct.pack("!BBHI", 0x80 | len(found), 201, 1 + 6 * len(found), 7) + b"".join(found)


def block(
    ssrc: int, fraction: int = 0, lost: int = 0, jitter: int = 0, ntp: int = 0, held: float = 0.0
) -> bytes:
    """What was received of ``ssrc``. ``held``: seconds from the sender report with ``ntp`` to this one."""
    return struct.pack(
        "!IIIIII", ssrc, fraction << 24 | lost & 0xFFFFFF, 0, jitter, ntp, round(held * 65536) & 0xFFFFFFFF
    )
