"""The network stack's own tables: devices and neighbours (rtnetlink(7)).

The socket belongs to the network namespace in which it was opened, and asks
about that one. Whatever cannot be had is left out: nothing here decides
whether a packet is forwarded, only how fresh the addresses in it are.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

ERROR, NEW_LINK, GET_LINK, NEW_NEIGHBOUR, GET_NEIGHBOUR = 2, 16, 18, 28, 30
"""Types of messages."""

REQUEST = 1
HARDWARE_ADDRESS = 1
"""Attribute of a device."""

DESTINATION, MORE_FLAGS = 1, 15
"""Attributes of a neighbour."""

STALE = 0x04
USE, EXTERNALLY_LEARNED, ROUTER = 0x01, 0x10, 0x80
"""State and flags of a neighbour. A request to use one replaces its flags: those that it has go with it."""

ANSWER = 1 << 15
"""Octets. There is one answer at a time, and none of ours is near as long."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")


class Netlink:
    """Raises ``OSError`` if the system has none for us."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._number = 0

    def mac(self, device: int) -> bytes | None:
        """The Ethernet address of a device (its index), 6 octets."""
        answer = self._ask(GET_LINK, _LINK.pack(socket.AF_UNSPEC, 0, device, 0, 0), NEW_LINK)
        mac = dict(_attributes(answer[_LINK.size :])).get(HARDWARE_ADDRESS) if answer else None
        return mac if mac is not None and len(mac) == 6 else None

    def confirm(self, hop: bytes) -> None:
        """Have the stack ask a neighbour whether it is still there, if it would before its own next packet.

        ``hop`` is ``hop`` of ``kernel.COUNT``. A packet of a program is no use of
        the neighbour to the stack (RFC 4861, section 7.3.3), which so would hold
        for ever what was true once. What an administrator or another program has
        put there is left alone.
        """
        family, device = struct.unpack_from("=II", hop, 16)
        address = hop[: 16 if family == socket.AF_INET6 else 4]
        about = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address), DESTINATION) + address
        answer = self._ask(GET_NEIGHBOUR, _NEIGHBOUR.pack(family, device, 0, 0, 0) + about, NEW_NEIGHBOUR)
        if len(answer) < _NEIGHBOUR.size:
            return
        _, _, state, flags, _ = _NEIGHBOUR.unpack_from(answer)
        if state != STALE or MORE_FLAGS in dict(_attributes(answer[_NEIGHBOUR.size :])):
            return
        kept = flags & (EXTERNALLY_LEARNED | ROUTER)
        with contextlib.suppress(OSError):
            self._send(NEW_NEIGHBOUR, _NEIGHBOUR.pack(family, device, 0, USE | kept, 0) + about)

    def close(self) -> None:
        """Ask nothing any more."""
        self._socket.close()

    def _send(self, kind: int, body: bytes) -> None:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, REQUEST, self._number, 0) + body)

    def _ask(self, kind: int, body: bytes, wanted: int) -> bytes:
        """What is behind the header of the answer, which is there once the question is sent; else nothing."""
        with contextlib.suppress(OSError):
            self._send(kind, body)
            while True:
                answer = self._socket.recv(ANSWER)
                length, got, _, number, _ = _HEADER.unpack_from(answer)
                if number == self._number:
                    return answer[_HEADER.size : length] if got == wanted else b""
        return b""


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
