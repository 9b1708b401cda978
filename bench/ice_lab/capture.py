"""What a phone sends and receives, seen at its network interface with the kernel's time stamps.

The phone is not asked: aioice and a browser are measured alike. Looked for are
connectivity checks (STUN Binding requests with USERNAME; those to a STUN server have
none) and media (RTP or SRTP), also inside of TURN, over UDP or TCP.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
UDP, TCP = 17, 6
USERNAME, DATA = 0x0006, 0x0013
SEND_INDICATION, DATA_INDICATION = 0x0016, 0x0017
BUFFER = 4 << 20


class Kind(Enum):
    CHECK = "check"
    MEDIA = "media"
    OTHER = "other"


@dataclass(frozen=True)
class Seen:
    """``stream`` and ``number`` are SSRC and sequence number, where it is media."""

    kind: Kind
    stream: int = 0
    number: int = 0


OTHER, CHECK = Seen(Kind.OTHER), Seen(Kind.CHECK)


def seen(packet: bytes) -> Iterator[Seen]:
    """Everything in one IPv4 packet."""
    if len(packet) < 28 or packet[0] >> 4 != 4:
        return
    header = (packet[0] & 15) * 4
    (length,) = struct.unpack_from("!H", packet, 2)
    if packet[9] == UDP:
        yield _seen(packet[header + 8 : length])
    elif packet[9] == TCP and len(packet) > header + 12:
        data = packet[header + (packet[header + 12] >> 4) * 4 : length]
        yield from (_seen(frame) for frame in _frames(data))


def _frames(data: bytes) -> Iterator[bytes]:
    """The frames of TURN over TCP in a segment that begins with one (RFC 8656, section 12.5)."""
    while len(data) >= 4:
        (length,) = struct.unpack_from("!H", data, 2)
        size = 4 + (length + 3) // 4 * 4 if _is_channel(data) else 20 + length
        yield data[:size]
        data = data[size:]


def _is_channel(data: bytes) -> bool:
    return 0x40 <= data[0] < 0x50


def _seen(data: bytes) -> Seen:
    if len(data) < 12:
        return OTHER
    if _is_channel(data):
        return _seen(data[4:])
    if data[0] >> 6 == 2:
        number, stream = struct.unpack_from("!2xH4xI", data)
        return OTHER if 192 <= data[1] <= 223 else Seen(Kind.MEDIA, stream, number)
    if data[0] >> 6 == 0 and data[4:8] == b"\x21\x12\xa4\x42":
        (kind,) = struct.unpack_from("!H", data)
        attributes = dict(_attributes(data))
        if kind == 1 and USERNAME in attributes:
            return CHECK
        if kind in (SEND_INDICATION, DATA_INDICATION):
            return _seen(attributes.get(DATA, b""))
    return OTHER


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 20
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


class Packet(NamedTuple):
    """Of media, at one phone. ``own`` is the phone's address, ``at`` as of ``time.time()``."""

    at: float
    stream: int
    number: int
    own: str


@dataclass
class Capture:
    """Of one call, at all interfaces. Times are those of ``time.time()``."""

    checks: list[tuple[float, str]] = field(default_factory=list)
    """When checks left, and from which address."""
    sent: list[Packet] = field(default_factory=list)
    got: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.setblocking(False)

    def read(self) -> None:
        """Takes in what has passed by."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, extra, _, address = self.socket.recvmsg(65536, 128)
                if address[0] != "lo":
                    self._note(packet, address[2] == socket.PACKET_OUTGOING, _stamp(extra))

    def _note(self, packet: bytes, outgoing: bool, at: float) -> None:
        for one in seen(packet):
            own = socket.inet_ntoa(packet[12:16] if outgoing else packet[16:20])
            if one.kind is Kind.CHECK and outgoing:
                self.checks.append((at, own))
            elif one.kind is Kind.MEDIA:
                (self.sent if outgoing else self.got).append(Packet(at, one.stream, one.number, own))

    def close(self) -> None:
        self.socket.close()


def _stamp(extra: list[tuple[int, int, bytes]]) -> float:
    (data,) = (data for _, kind, data in extra if kind == SO_TIMESTAMPNS)
    seconds, nanoseconds = struct.unpack_from("ll", data)
    return float(seconds) + float(nanoseconds) / 1e9
