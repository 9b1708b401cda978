"""What a datagram looks like: the slow twin of ``classify`` (RFC 7983, RFC 5761)."""

from __future__ import annotations

import enum

MAGIC_COOKIE = b"\x21\x12\xa4\x42"


class Kind(enum.Enum):
    """What a datagram looks like (RFC 7983, RFC 5761)."""

    STUN = enum.auto()
    DTLS = enum.auto()
    RTP = enum.auto()
    RTCP = enum.auto()
    UNKNOWN = enum.auto()


def kind_of(datagram: bytes) -> Kind:
    """Tell the protocols apart that share a port.

    >>> kind_of(bytes([128, 0]) + bytes(10))
    <Kind.RTP: 3>
    """
    first, length = datagram[0] if datagram else 255, len(datagram)
    if first < 4:
        said = int.from_bytes(datagram[2:4], "big")
        whole = length >= 20 and said + 20 == length and said % 4 == 0
        return Kind.STUN if whole and datagram[4:8] == MAGIC_COOKIE else Kind.UNKNOWN
    if 20 <= first < 64 and length >= 13:
        return Kind.DTLS
    if 128 <= first < 192:
        if length >= 8 and 192 <= datagram[1] < 224:
            return Kind.RTCP
        if length >= 12:
            return Kind.RTP
    return Kind.UNKNOWN
