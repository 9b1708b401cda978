"""The wire that stands for the network."""

import socket

from bench.ice_lab.wire import PATIENCE, Site, Wire

FAR = Site(3, 0.100, ("192.0.2.1",))
NEAR = Site(4, 0.010, ("198.51.100.1", "198.51.100.2"))


def packet(to: str, text: bytes = b"") -> bytes:
    return b"\x45" + bytes(15) + socket.inet_aton(to) + text


def test_a_packet_takes_as_long_as_both_distances() -> None:
    wire = Wire([FAR, NEAR])
    wire.taken(FAR, packet("198.51.100.2"), now=5.0)
    assert wire.due(5.109) == []
    assert 0.009 < wire.wait(5.1) < 0.011
    assert wire.due(5.111) == [(NEAR.file, packet("198.51.100.2"))]
    assert wire.wait(5.2) == PATIENCE


def test_packets_arrive_in_the_order_in_which_they_were_sent() -> None:
    wire = Wire([FAR, NEAR])
    sent = [packet("192.0.2.1", bytes([9 - number])) for number in range(10)]
    for one in sent:
        wire.taken(NEAR, one, now=1.0)
    assert [arrived for _, arrived in wire.due(2.0)] == sent


def test_what_is_sent_to_nobody_is_lost() -> None:
    wire = Wire([FAR, NEAR])
    wire.taken(FAR, packet("198.18.0.1"), now=0.0)
    wire.taken(FAR, packet("192.0.2.1"), now=0.0)
    wire.taken(FAR, b"\x60" + packet("198.51.100.1")[1:], now=0.0)
    assert wire.due(10.0) == []
