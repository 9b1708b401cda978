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


def kinds(packet: bytes) -> Iterator[Kind]:
    """Of everything in one IPv4 packet."""
    if len(packet) < 28 or packet[0] >> 4 != 4:
        return
    header = (packet[0] & 15) * 4
    (length,) = struct.unpack_from("!H", packet, 2)
    if packet[9] == UDP:
        yield _kind(packet[header + 8 : length])
    elif packet[9] == TCP and len(packet) > header + 12:
        data = packet[header + (packet[header + 12] >> 4) * 4 : length]
        yield from (_kind(frame) for frame in _frames(data))


def _frames(data: bytes) -> Iterator[bytes]:
    """The frames of TURN over TCP in a segment that begins with one (RFC 8656, section 12.5)."""
    while len(data) >= 4:
        (length,) = struct.unpack_from("!H", data, 2)
        size = 4 + (length + 3) // 4 * 4 if _is_channel(data) else 20 + length
        yield data[:size]
        data = data[size:]


def _is_channel(data: bytes) -> bool:
    return 0x40 <= data[0] < 0x50


def _kind(data: bytes) -> Kind:
    if len(data) < 12:
        return Kind.OTHER
    if _is_channel(data):
        return _kind(data[4:])
    if data[0] >> 6 == 2:
        return Kind.OTHER if 192 <= data[1] <= 223 else Kind.MEDIA
    if data[0] >> 6 == 0 and data[4:8] == b"\x21\x12\xa4\x42":
        (kind,) = struct.unpack_from("!H", data)
        attributes = dict(_attributes(data))
        if kind == 1 and USERNAME in attributes:
            return Kind.CHECK
        if kind in (SEND_INDICATION, DATA_INDICATION):
            return _kind(attributes.get(DATA, b""))
    return Kind.OTHER


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 20
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


@dataclass
class Capture:
    """Of one call. Times are those of ``time.time()``."""

    interface: str
    checks: list[float] = field(default_factory=list)
    """When checks left."""
    media: float | None = None
    """When the first media packet came in."""

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.bind((self.interface, ETH_P_ALL))
        self.socket.setblocking(False)

    def read(self) -> None:
        """Takes in what has passed by."""
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, extra, _, address = self.socket.recvmsg(65536, 128)
                outgoing = address[2] == socket.PACKET_OUTGOING
                for kind in kinds(packet):
                    self._note(kind, outgoing, _stamp(extra))

    def _note(self, kind: Kind, outgoing: bool, at: float) -> None:
        if kind is Kind.CHECK and outgoing:
            self.checks.append(at)
        elif kind is Kind.MEDIA and not outgoing and self.media is None:
            self.media = at

    def close(self) -> None:
        self.socket.close()


def _stamp(extra: list[tuple[int, int, bytes]]) -> float:
    (data,) = (data for _, kind, data in extra if kind == SO_TIMESTAMPNS)
    seconds, nanoseconds = struct.unpack_from("ll", data)
    return float(seconds) + float(nanoseconds) / 1e9
