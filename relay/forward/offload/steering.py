"""The range socket of the user-space plane: one queue per worker for the streams of many ports.

What is kept for it in the kernel and in this process: a program where the
kernel looks for the socket of a datagram (ext/steer.bpf.c), its tables, and the
shared sockets. Who comes by them is the workers' decision (ext/shared.pxi).
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import socket
import struct
from collections.abc import Sequence

from relay.forward.offload import bpf, elf, routing

RECEIVE_BUFFER = 64 << 20
"""Octets that may wait in each shared socket. A datagram of audio takes 768 or, from some network cards,
2,304; so there is room for 0.3 s of 100,000 packets/s, or more."""

SEND_BUFFER = 4 << 20
"""Octets that may wait for the device, for all streams that leave from one address."""

SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_MEMINFO = 33, 32, 55
MEMINFO_DROPS = 8
IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR = 20, 74


class Steering:
    """Program, tables and sockets for so many workers, and ports from ``first`` to ``last``.

    ``addresses`` that ports will be at, as far as they are known. Belongs to the network namespace of the
    thread that makes it. Raises ``BpfError``, ``ObjectError`` and ``OSError``.
    """

    def __init__(
        self, workers: int, first: int = 1, last: int = 65535, addresses: Sequence[str] = ()
    ) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self._descriptors: list[int] = []
        self._dropped = 0
        self.no_raw = _no_raw()
        """Why what leaves may not go by raw sockets, many ports at a time; empty if it may."""
        self.sockets: list[tuple[socket.socket, socket.socket | None]] = []
        """By worker: the shared sockets for IPv4 and, if the machine has it, for IPv6."""
        parsed = elf.parse(importlib.resources.files("relay").joinpath("data/steer.bpf.o").read_bytes())
        try:
            self._load(parsed, workers, struct.pack("<II", first, last))
        except BaseException:
            self.close()
            raise

    def _load(self, parsed: elf.Object, workers: int, ports: bytes) -> None:
        maps = {name: self._keep(bpf.create_map(name, wanted)) for name, wanted in parsed.maps.items()}
        self.tables = maps["ipv4"], maps["ipv6"]
        """Descriptors: which datagrams come by the shared sockets."""
        bpf.update(maps["range"], bytes(4), ports)
        for worker in range(workers):
            pair = _shared(socket.AF_INET), _shared_ipv6()
            self.sockets.append(pair)
            for place, sock in enumerate(pair, 2 * worker):
                if sock is not None:
                    bpf.update(maps["sockets"], struct.pack("<I", place), struct.pack("<Q", sock.fileno()))
        code = parsed.programs["sk_lookup"].link(maps)
        where = bpf.ATTACH_SK_LOOKUP
        program = bpf.load_program("icerelay_steer", bpf.SK_LOOKUP, code, parsed.licence, where)
        self._keep(program)
        with open("/proc/thread-self/ns/net") as network:
            self._keep(bpf.attach(program, network.fileno(), where))

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def raw(self, address: str) -> socket.socket | None:
        """A socket that sends from this address, with headers that it is given; None if it cannot be had."""
        if self.no_raw:
            return None
        sock = _raw(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            sock.bind((address, 0))
            sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER)
        except OSError:
            sock.close()
            return None
        return sock

    def dropped(self) -> int:
        """Datagrams that found a shared socket full."""
        sockets = [sock for pair in self.sockets for sock in pair if sock is not None]
        return self._dropped + sum(map(_dropped, sockets))

    def close(self) -> None:
        """Detach, and close everything."""
        self._dropped = self.dropped()
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors.clear()
        for pair in self.sockets:
            for sock in pair:
                if sock is not None:
                    sock.close()
        self.sockets.clear()


def _raw(family: socket.AddressFamily) -> socket.socket:
    return socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)


def _no_raw() -> str:
    try:
        with _raw(socket.AF_INET) as sock:
            takes_protocol = routing.takes_protocol(sock)
    except PermissionError:
        return "CAP_NET_RAW missing"
    if not takes_protocol:
        return "this kernel does not route what raw sockets send as UDP; a newer one is needed"
    return routing.ports_matter()


def _dropped(sock: socket.socket) -> int:
    memory = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (MEMINFO_DROPS + 1))
    (found,) = struct.unpack_from("I", memory, 4 * MEMINFO_DROPS)
    return int(found)


def _shared(family: socket.AddressFamily) -> socket.socket:
    """Bound where nothing comes from outside: only the program leads datagrams here."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _shared_ipv6() -> socket.socket | None:
    with contextlib.suppress(OSError):
        return _shared(socket.AF_INET6)
    return None
