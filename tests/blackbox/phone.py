"""A phone's media end: a UDP socket or two that send and count RTP."""

from __future__ import annotations

import select
import socket
import struct
from types import TracebackType
from typing import Self

from tests.blackbox.description import Description, plain
from tests.ng import Address

PATIENCE = 3.0
"""Seconds to wait for a packet that must come."""


def rtp(sequence: int, ssrc: int = 1, payload: bytes = b"x" * 160) -> bytes:
    """One RTP packet (RFC 3550, section 5.1)."""
    return struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160, ssrc) + payload


def rtcp(ssrc: int = 1) -> bytes:
    """An RTCP sender report (RFC 3550, section 6.4.1)."""
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, 0, 0, 0, 0)


class Port:
    """One UDP socket of a phone."""

    def __init__(self, address: str, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._socket.settimeout(PATIENCE)
        self.address: Address = self._socket.getsockname()[:2]

    def send(self, to: Address, datagram: bytes) -> None:
        self._socket.sendto(datagram, to)

    def receive(self) -> tuple[bytes, Address]:
        """The next datagram and where it came from. Raises ``TimeoutError``."""
        datagram, source = self._socket.recvfrom(4096)
        return datagram, source[:2]

    def is_readable(self, patience: float) -> bool:
        """Whether something arrives within so many seconds."""
        return bool(select.select([self._socket], [], [], patience)[0])

    def waiting(self) -> list[bytes]:
        """What has arrived by now."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                found.append(self._socket.recv(4096))
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(PATIENCE)

    def refused_by(self, to: Address) -> bool:
        """Whether the kernel says that nobody listens there; uses this socket up."""
        self._socket.connect(to)
        self._socket.send(b"x")
        try:
            self._socket.recv(4096)
        except ConnectionRefusedError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


class Phone:
    """RTP on an even port and RTCP on the next one."""

    def __init__(self, address: str, user: str = "phone") -> None:
        self.user = user
        self.rtp, self.rtcp = _pair(address)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rtp.close()
        self.rtcp.close()

    def sdp(self, *extra: str) -> str:
        """What it says of itself."""
        address, port = self.rtp.address
        return plain(address, port, *extra, user=self.user)

    def talk(self, to: Address) -> bytes:
        """Sends the next packet of its stream."""
        self._sequence += 1
        packet = rtp(self._sequence, ssrc=self.rtp.address[1])
        self.rtp.send(to, packet)
        return packet


def _pair(address: str) -> tuple[Port, Port]:
    """Two ports in a row, the first one even."""
    while True:
        first = Port(address)
        even = first.address[1]
        if even % 2 == 0:
            try:
                return first, Port(address, even + 1)
            except OSError:
                pass
        first.close()


def told(description: Description, rtcp_too: bool = False) -> Address:
    """Where a description says that media is received."""
    address = description.address()
    assert address is not None
    if rtcp_too:
        return address, int(description.media.attributes("rtcp")[0].split()[0])
    return address, description.media.port
