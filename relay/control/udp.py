"""The ng socket: UDP, answered from the address that was asked.

On a host with several addresses a socket bound to the wildcard would answer
from whichever address routing chooses, and the proxy, whose socket is
connected, would not see it. So the kernel is asked for each datagram's
destination.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

from relay.forward.rule import Address

log = logging.getLogger("icerelay.ng")

IP_PKTINFO = 8
"""Linux, ``ip(7)``; Python's socket module has it from 3.14 on."""

BATCH = 64
"""Datagrams read before the loop gets another turn."""

BUFFER = 4 * 1024 * 1024
"""Bytes of receive buffer: some seconds of a storm of calls. The kernel may give less."""


class NgSocket:
    """One bound UDP socket that hands datagrams to ``answer`` and sends what it returns."""

    def __init__(self, host: str, port: int, answer: Callable[[bytes, Address], bytes | None]) -> None:
        self._answer = answer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.address: Address = self._socket.getsockname()[:2]

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until ``close``."""
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop serving."""
        loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                datagram, ancillary, _flags, peer = self._socket.recvmsg(65536, 128)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error for an earlier reply: nothing to do with this datagram
                log.debug("ng socket: %s", error)
                continue
            reply = self._answer(datagram, peer[:2])
            if reply is not None:
                self._send(reply, ancillary, peer)

    def _send(self, reply: bytes, ancillary: list[tuple[int, int, bytes]], peer: Address) -> None:
        try:
            self._socket.sendmsg([reply], [_answer_from(*item) for item in ancillary], 0, peer)
        except OSError as error:
            kind = {"flood": f"reply {error.strerror}"}
            log.warning("ng reply to %s:%d not sent: %s", peer[0], peer[1], error.strerror, extra=kind)


def _answer_from(level: int, kind: int, value: bytes) -> tuple[int, int, bytes]:
    """Turn "it came to this address" into "send from this address"."""
    if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
        _interface, _local, destination = struct.unpack("=I4s4s", value)
        return level, kind, struct.pack("=I4s4s", 0, destination, b"\0" * 4)
    return level, kind, value
