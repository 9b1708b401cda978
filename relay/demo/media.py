"""RTP packets that carry their number and the time they were sent, and what came of them.

Times are nanoseconds of the system's real-time clock, which is the one that the
kernel stamps arriving datagrams with. So the time until Python gets round to
reading a datagram does not count as latency.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.forward.rule import Address

PACKET_TIME = 0.02
"""Seconds of audio in a packet, as phones send it."""
SAMPLES = 960
"""RTP timestamp units in a packet: Opus counts 48,000 a second."""
PAYLOAD_TYPE = 111
"""Opus in the offer that we send."""
SIZE = 92
"""Bytes of a packet: the RTP header, and 80 bytes of Opus at 32 kbit/s."""

_PACKET = struct.Struct("!BBHIIIQ")
"""RTP header (RFC 3550, section 5.1), then our number and time of sending."""

_SO_TIMESTAMPNS = 35
"""Linux; Python has no name for it before 3.15."""
_TIMESPEC = struct.Struct("@ll")


def packet(number: int, ssrc: int, sent: int) -> bytes:
    """Packet ``number``, 0 .. 2**32 - 1, sent at ``sent`` nanoseconds."""
    header = (0x80, PAYLOAD_TYPE, number & 0xFFFF, number * SAMPLES & 0xFFFFFFFF, ssrc)
    return _PACKET.pack(*header, number, sent).ljust(SIZE, b"\0")


class Datagram(NamedTuple):
    """One datagram as it came in; ``arrived`` in nanoseconds."""

    data: bytes
    source: Address
    arrived: int


def open_socket(address: str) -> socket.socket:
    """A non-blocking UDP socket on a free port, with times of arrival."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    opened.setblocking(False)
    opened.bind((address, 0))
    return opened


def arrived(sock: socket.socket) -> Iterator[Datagram]:
    """All that waits in the socket."""
    while True:
        try:
            data, ancillary, _, source = sock.recvmsg(2048, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            return
        yield Datagram(data, source, _stamp(ancillary))


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, type, data in ancillary:
        if (level, type) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()


@dataclass(slots=True)
class Inbox:
    """What one socket got of one speaker, whose SSRC is ``ssrc``."""

    ssrc: int
    latencies: dict[int, float] = field(default_factory=dict)
    """Seconds on the way, by packet number; a packet that comes twice counts once."""
    sources: list[Address] = field(default_factory=list)
    """Where packets came from, in the order of their first."""

    def take(self, datagram: Datagram) -> None:
        """Count one datagram, unless it is not the speaker's."""
        if len(datagram.data) != SIZE:
            return
        *_, ssrc, number, sent = _PACKET.unpack_from(datagram.data)
        if ssrc != self.ssrc:
            return
        self.latencies.setdefault(number, (datagram.arrived - sent) / 1e9)
        if datagram.source not in self.sources:
            self.sources.append(datagram.source)
