"""Local UDP ports: bound sockets from the ranges that ``relay.ports`` keeps.

The edge between the pure allocator and the machine: which port is next is
decided there, whether it can be had is found out here.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from relay.forward.rule import Address
from relay.ports import PortError, Ports, PortsExhausted

RECEIVE_BUFFER = 1 << 18
"""Octets asked for; the kernel doubles it, and gives no more than twice ``net.core.rmem_max``. Its default is
too small for a key frame of 100 packets that comes while the worker waits for company."""


class AddressNotBindable(PortError):
    """The address is not one of this machine's, or not in the pool."""


class PortsTaken(PortsExhausted):
    """Other programs hold what is left of the range."""


class DescriptorLimit(PortError):
    """The process or the machine has no file descriptor left."""


class PortPool:
    """Binds sockets on the given addresses, each with a range of its own.

    Errors are subclasses of ``PortError``. After one, everything is as before.
    """

    def __init__(self, ranges: Mapping[str, Ports]) -> None:
        self._ranges = {normal(address): ports for address, ports in ranges.items()}

    def open_pair(self, address: str, tos: int) -> tuple[socket.socket, socket.socket]:
        """Sockets on an even port and the next one (RTP and RTCP); ``tos`` is the whole byte, 0 .. 255."""
        address, ports = self._range(address)
        rtp, rtcp = _open(ports, address, tos, 2)
        return rtp, rtcp

    def open_single(self, address: str, tos: int) -> socket.socket:
        """A socket on any one port of the range."""
        address, ports = self._range(address)
        return _open(ports, address, tos, 1)[0]

    def release(self, address: str, port: int) -> None:
        """The socket on this port is closed. Raises ``ValueError`` if the port was not handed out."""
        self._range(address)[1].give_back(port)

    def holds(self, address: str, port: int) -> bool:
        """Whether a socket of ours is on this port. ``address`` is written as the kernel writes it."""
        ports = self._ranges.get(address)
        return ports is not None and ports.is_used(port)

    def used(self, address: str) -> int:
        """Ports in use."""
        return self._range(address)[1].used

    def free(self, address: str) -> int:
        """Ports that could be handed out, as far as we know."""
        return self._range(address)[1].free

    def _range(self, address: str) -> tuple[str, Ports]:
        if address not in self._ranges:  # most of the time it is written as we write it
            address = normal(address)
        if address not in self._ranges:
            raise AddressNotBindable(f"no range of ports is configured for {address}")
        return address, self._ranges[address]


def set_tos(sock: socket.socket, tos: int) -> None:
    """Mark what this socket sends: DSCP and ECN, 0 .. 255."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)


def normal(address: str) -> str:
    """The one way to write a numeric address. Raises ``ValueError`` for anything else.

    >>> normal("2001:DB8:0::1")
    '2001:db8::1'
    """
    try:
        return socket.inet_ntop(_family(address), socket.inet_pton(_family(address), address))
    except OSError:
        raise ValueError(f"not a numeric address: {address!r}") from None


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _open(ports: Ports, address: str, tos: int, count: int) -> list[socket.socket]:
    """Bind ``count`` ports in a row; go on to the next ones while other programs hold some of them."""
    taken: list[int] = []
    try:
        while True:
            wanted = _take(ports, address, count, taken)
            try:
                return _bind_all(address, wanted, tos)
            except _InUse as busy:
                taken.append(busy.port)
                _give_back(ports, wanted, busy.port)
            except BaseException:
                _give_back(ports, wanted)
                raise
    finally:
        for port in taken:
            ports.refuse(port)


def _take(ports: Ports, address: str, count: int, taken: list[int]) -> range:
    try:
        first = ports.take() if count == 1 else ports.take_pair()
    except PortsExhausted:
        in_use, others = ports.used - len(taken), ports.refused + len(taken)
        limits = f"{ports.minimum}-{ports.maximum} on {address}"
        if others and not in_use:
            raise PortsTaken(f"other programs hold {others} ports of {limits}: none is left for us") from None
        raise PortsExhausted(
            f"no free {'port' if count == 1 else 'pair of ports'} in {limits}: "
            f"{in_use} in use, {ports.free} free, {others} held by other programs"
        ) from None
    return range(first, first + count)


def _give_back(ports: Ports, wanted: range, except_for: int | None = None) -> None:
    for port in wanted:
        if port != except_for:
            ports.give_back(port)


class _InUse(Exception):
    """Another program holds the port."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port


def _bind_all(address: str, wanted: range, tos: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for port in wanted:
            opened.append(_bind(address, port, tos))
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _bind(address: str, port: int, tos: int) -> socket.socket:
    family = _family(address)
    sock = _socket(family, (address, port))
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if tos:
            set_tos(sock, tos)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _InUse(port) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise AddressNotBindable(f"{address} is not an address of this machine") from None
        raise PortError(f"cannot bind port {port} of {address}: {error.strerror}") from None
    return sock


class _Port(socket.socket):
    """Knows where it will be bound: several ask for it, and each time the kernel would have to be asked."""

    __slots__ = ("_name",)

    def __init__(self, family: socket.AddressFamily, name: Address) -> None:
        super().__init__(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._name = name if family == socket.AF_INET else (*name, 0, 0)

    def getsockname(self) -> tuple[str | int, ...]:
        return self._name


def _socket(family: socket.AddressFamily, name: Address) -> socket.socket:
    try:
        return _Port(family, name)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise DescriptorLimit(f"no file descriptor left for another port: {error.strerror}") from None
        if error.errno == errno.EAFNOSUPPORT:
            raise AddressNotBindable("this machine has no IPv6") from None
        raise
