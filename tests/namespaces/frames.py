"""Ethernet frames for the kernel's programs, and a slow twin of what those do with them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import platform
import socket
import struct
from dataclasses import dataclass

from relay.forward.offload.flow import Flow
from relay.forward.offload.netlink import Netlink
from tests.namespaces.lab import Namespace

TEST_RUN = 10
CHECKSUM_COMPLETE = 1 << 2
"""The kernel gives the program a packet with the sum of all of it, and complains if that is wrong afterwards
(6.11 and newer)."""

IPV4, IPV6 = 0x0800, 0x86DD
UDP, FRAGMENT_HEADER = 17, 44
MTU = 1500

_libc = ctypes.CDLL(None, use_errno=True)
_BPF = 321 if platform.machine() == "x86_64" else 280


def run_program(program: int, frame: bytes, context: bytes, flags: int = 0) -> tuple[int, bytes]:
    """What a program says of a frame, and what it makes of it (bpf(2), BPF_PROG_TEST_RUN)."""
    out, inside = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(frame, len(frame))
    about = ctypes.create_string_buffer(context, len(context))
    attributes = struct.pack(
        "<4I2Q4I2Q4I",
        *(program, 0, len(frame), len(out), ctypes.addressof(inside), ctypes.addressof(out)),
        *(1, 0, len(context), 0, ctypes.addressof(about), 0, flags, 0, 0, 0),
    )
    block = ctypes.create_string_buffer(attributes, len(attributes))
    if _libc.syscall(_BPF, TEST_RUN, block, len(attributes)):
        number = ctypes.get_errno()
        raise OSError(number, "wrong sum" if number == errno.EBADMSG else "test run")
    _, said, _, length = struct.unpack_from("<4I", block)
    return said, out.raw[:length]


class Tap(socket.socket):
    """Sends frames as they are, by one device."""

    def __init__(self, device: str) -> None:
        super().__init__(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.bind((device, 0))


def mac(machine: Namespace, device: str) -> bytes:
    """Of a device."""
    with machine.inside(), contextlib.closing(Netlink()) as netlink:
        found = netlink.mac(socket.if_nametoindex(device))
    assert found is not None
    return found


def udp_sum(frame: bytes) -> int:
    """Of the UDP part and its pseudo-header; a multiple of 65,535 if the checksum in it is right."""
    if frame[12:14] == struct.pack("!H", IPV4):
        addresses, udp = frame[26:34], frame[34 : 14 + int.from_bytes(frame[16:18], "big")]
    else:
        addresses, udp = frame[22:54], frame[54 : 54 + int.from_bytes(frame[18:20], "big")]
    return words(addresses) + UDP + len(udp) + words(udp)


def words(data: bytes) -> int:
    """The sum of 16-bit words (RFC 1071); equal modulo 65,535 is equal."""
    data += bytes(len(data) % 2)
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def checksum(total: int) -> int:
    """That makes a sum right."""
    return (0xFFFF - total % 0xFFFF) % 0xFFFF or 0xFFFF


@dataclass(frozen=True)
class Sent:
    """A datagram with all its headers; what a test does not say is as it should be."""

    flow: Flow
    to: bytes
    """Ethernet address."""
    payload: bytes
    ttl: int = 64
    tos: int = 0

    def frame(self) -> bytes:
        v6 = ":" in self.flow.at[0]
        source, destination = (_host(host) for host, _ in (self.flow.peer, self.flow.at))
        length = 8 + len(self.payload)
        udp = struct.pack("!4H", self.flow.peer[1], self.flow.at[1], length, 0) + self.payload
        if v6:
            ip = struct.pack("!IHBB", 6 << 28 | self.tos << 20 | 0x12345, length, UDP, self.ttl)
            ip += source + destination
        else:
            ip = struct.pack("!BBHHHBBH", 0x45, self.tos, 20 + length, 7, 0x4000, self.ttl, UDP, 0)
            ip += source + destination
            ip = ip[:10] + struct.pack("!H", checksum(words(ip))) + ip[12:]
        ethernet = self.to + b"\x02phone" + struct.pack("!H", IPV6 if v6 else IPV4)
        frame = ethernet + ip + udp
        at = len(ethernet) + len(ip) + 6
        return frame[:at] + struct.pack("!H", checksum(udp_sum(frame))) + frame[at + 2 :]


@dataclass(frozen=True)
class Twin:
    """The rules of ext/offload.bpf.c once more, to be read rather than to be fast."""

    flows: tuple[Flow, ...]
    mac: bytes
    """Of the device by which frames come."""
    macs: dict[str, tuple[bytes, bytes]]
    """By destination: of the neighbour, and of the device through which he is reached."""
    needs_checksum: bool
    """Whether frames that a device is to finish are left alone."""

    def forwards(self, frame: bytes) -> tuple[Flow, bytes] | None:
        """What leaves, with both checksums as they came; None if the frame is for the network stack."""
        if frame[:6] != self.mac:
            return None
        (kind,) = struct.unpack_from("!H", frame, 12)
        if kind not in (IPV4, IPV6) or len(frame) < (14 + 20 + 20 if kind == IPV4 else 14 + 40 + 20):
            return None
        at = 34 if kind == IPV4 else 54
        length = self._length4(frame) if kind == IPV4 else self._length6(frame)
        udp, rtp = frame[at : at + 8], frame[at + 8 : at + 20]
        if length is None or length < 20 or length != int.from_bytes(udp[4:6], "big"):
            return None
        if at - 14 + length > MTU or rtp[0] >> 6 != 2 or 192 <= rtp[1] <= 223:
            return None
        if self.needs_checksum and _is_unfinished(frame, at):
            return None
        source, destination = (frame[26:30], frame[30:34]) if kind == IPV4 else (frame[22:38], frame[38:54])
        ports = struct.unpack_from("!2H", udp)
        for flow in self.flows:
            hosts = (_host(flow.peer[0]), _host(flow.at[0]))
            if hosts == (source, destination) and (flow.peer[1], flow.at[1]) == ports:
                return flow, self._sent(flow, frame, at)
        return None

    def _length4(self, frame: bytes) -> int | None:
        """Of the UDP part."""
        fragment, ttl, protocol = struct.unpack_from("!HBB", frame, 20)
        (length,) = struct.unpack_from("!H", frame, 16)
        if frame[14] != 0x45 or fragment & 0x3FFF or ttl <= 1 or protocol != UDP:
            return None
        return length - 20 if 14 + length <= len(frame) else None

    def _length6(self, frame: bytes) -> int | None:
        length, protocol, hops = struct.unpack_from("!HBB", frame, 18)
        if frame[14] >> 4 != 6 or hops <= 1 or protocol != UDP or frame[60:62] == bytes(2):
            return None
        return int(length) if 54 + length <= len(frame) else None

    def _sent(self, flow: Flow, frame: bytes, at: int) -> bytes:
        ip, udp = bytearray(frame[14:at]), bytearray(frame[at:])
        addresses = _host(flow.source[0]) + _host(flow.destination[0])
        ip[-len(addresses) :] = addresses
        if at == 34:
            ip[1], ip[8] = flow.tos, ip[8] - 1
        else:
            ip[0], ip[1], ip[7] = ip[0] & 0xF0 | flow.tos >> 4, ip[1] & 0x0F | flow.tos << 4 & 0xF0, ip[7] - 1
        udp[:4] = struct.pack("!2H", flow.source[1], flow.destination[1])
        return b"".join(self.macs[flow.destination[0]]) + frame[12:14] + bytes(ip) + bytes(udp)


def without_checksums(frame: bytes) -> bytes:
    if frame[12:14] == struct.pack("!H", IPV4):
        return frame[:24] + bytes(2) + frame[26:40] + bytes(2) + frame[42:]
    return frame[:60] + bytes(2) + frame[62:]


def _is_unfinished(frame: bytes, at: int) -> bool:
    """The checksum is the sum of the pseudo-header and no more."""
    addresses = frame[at - 8 : at] if at == 34 else frame[at - 32 : at]
    total = words(addresses) + UDP + int.from_bytes(frame[at + 4 : at + 6], "big")
    return (total - 1) % 0xFFFF + 1 == int.from_bytes(frame[at + 6 : at + 8], "big")


def _host(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
