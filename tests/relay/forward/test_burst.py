"""Bursts of one stream come out as they went in, whatever the kernel makes of them in between."""

import random
import socket
import struct
from collections.abc import Callable

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.rule import Address, Learn, Rule

Phones = Callable[[str], socket.socket]
LocalPorts = Callable[[NativePlane, str], tuple[int, Address]]

UDP_SEGMENT = 103


def rtp(seq: int, length: int, rng: random.Random) -> bytes:
    return bytes([0x80, 96]) + seq.to_bytes(2, "big") + bytes(8) + rng.randbytes(length - 12)


def send_at_once(sender: socket.socket, frame: list[bytes], size: int, to: Address) -> None:
    """One system call, so that the relay finds several of them together."""
    sender.sendmsg(frame, [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))], 0, to)


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
@pytest.mark.parametrize("receivers", [1, 2])
def test_frames_arrive_whole_and_in_order(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts, host: str, receivers: int
) -> None:
    rng = random.Random(7)
    ours = "::1" if ":" in host else "127.0.0.1"
    sender, listening = phones(host), [phones(host) for _ in range(receivers)]
    port, entrance = local_ports(plane, ours)
    ids = [plane.allocate() for _ in range(receivers + 1)]
    plane.apply([Rule(ids[0], port, sender.getsockname()[:2], Learn.WINDOW, rtp=tuple(ids[1:]))])
    for id, phone in zip(ids[1:], listening, strict=True):
        plane.apply([Rule(id, local_ports(plane, ours)[0], phone.getsockname()[:2], Learn.WINDOW)])
    seq = octets = 0
    for _ in range(100):
        size, count = rng.choice([12, 13, 172, 1200]), rng.randint(2, 30)
        frame = [rtp(seq + i, size, rng) for i in range(count - 1)]
        frame.append(rtp(seq + count - 1, rng.randint(12, size), rng))
        seq, octets = seq + count, octets + sum(map(len, frame))
        send_at_once(sender, frame, size, entrance)
        for phone in listening:
            assert [phone.recv(2000) for _ in frame] == frame
    plane.stop()
    for id in ids[1:]:
        assert plane.counters()[["sent_packets", "sent_bytes"]][id].tolist() == (seq, octets)


def test_sizes_that_grow_and_shrink_are_kept(
    plane: NativePlane, phones: Phones, local_ports: LocalPorts
) -> None:
    rng = random.Random(8)
    sender, receiver = phones("127.0.0.2"), phones("127.0.0.3")
    (port, entrance), (other_port, _) = local_ports(plane, "127.0.0.1"), local_ports(plane, "127.0.0.1")
    first, second = plane.allocate(), plane.allocate()
    plane.apply(
        [
            Rule(first, port, sender.getsockname(), Learn.WINDOW, rtp=(second,)),
            Rule(second, other_port, receiver.getsockname(), Learn.WINDOW),
        ]
    )
    for _ in range(100):
        frame = [rtp(seq, rng.choice([12, 100, 100, 100, 1400]), rng) for seq in range(20)]
        for packet in frame:
            sender.sendto(packet, entrance)
        assert [receiver.recv(2000) for _ in frame] == frame


def test_empty_datagrams_arrive_empty(plane: NativePlane, phones: Phones, local_ports: LocalPorts) -> None:
    """Of what is no RTP; a burst cannot be cut so that one has nothing in it."""
    sender, receiver = phones("127.0.0.2"), phones("127.0.0.3")
    (port, entrance), (other_port, _) = local_ports(plane, "127.0.0.1"), local_ports(plane, "127.0.0.1")
    first, second = plane.allocate(), plane.allocate()
    plane.apply(
        [
            Rule(first, port, sender.getsockname(), Learn.WINDOW, rtp=(second,), opaque=True),
            Rule(second, other_port, receiver.getsockname(), Learn.WINDOW, opaque=True),
        ]
    )
    sent = [b"twenty octets of data", b"", b""] * 10
    for _ in range(100):
        for datagram in sent:
            sender.sendto(datagram, entrance)
        assert [receiver.recv(2000) for _ in sent] == sent
