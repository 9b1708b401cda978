"""What a peer's checks tell of its NAT."""

from __future__ import annotations

import pytest

from relay.ice.mapping import maps_anew
from sdp.candidate import Candidate

HOME = "198.51.100.7"
HOST = "1 1 udp 2122260223 192.168.1.5 40000 typ host"
HIDDEN = "1 1 udp 2122260223 aa-bb.local 40000 typ host"
VPN = "3 1 udp 2122194687 10.8.0.2 40001 typ host"
MAPPED = f"2 1 udp 1686052607 {HOME} 61000 typ srflx raddr 192.168.1.5 rport 40000"
VPN_MAPPED = f"4 1 udp 1685987071 {HOME} 61001 typ srflx raddr 10.8.0.2 rport 40001"
TURN = f"5 1 udp 41885695 203.0.113.9 50000 typ relay raddr {HOME} rport 61000"
TCP = "6 1 tcp 1518280447 192.168.1.5 9 typ host tcptype active"
V6 = "7 1 udp 2122262783 2001:db8::5 40002 typ host"


@pytest.mark.parametrize(
    ("lines", "sources", "expected"),
    [
        ([HOST, MAPPED], [(HOME, 61000)], False),
        ([HOST, MAPPED], [(HOME, 7), (HOME, 61000)], False),
        ([HOST, MAPPED], [(HOME, 61002)], True),
        ([HIDDEN, MAPPED], [(HOME, 61002)], True),
        ([HOST, MAPPED, TURN, TCP, V6], [(HOME, 61002)], True),
        ([HOST, VPN, MAPPED, VPN_MAPPED], [(HOME, 61002)], True),
        ([HOST, VPN, MAPPED], [(HOME, 61002)], None),
        ([HOST, MAPPED], [("203.0.113.77", 61002)], None),
        ([HOST, MAPPED, TURN], [("203.0.113.9", 50000)], None),
        ([HOST, MAPPED], [("192.168.1.5", 40000)], None),
        ([HOST], [(HOME, 61002)], None),
        ([HOST, MAPPED], [], None),
    ],
    ids=[
        "the same mapping", "the same mapping, later", "another port", "another port of a hidden host",
        "other kinds do not count", "every socket has a mapping", "the VPN's socket may have none",
        "a network that no candidate names", "through a TURN server", "no NAT towards us",
        "no STUN server", "no check came",
    ],
)  # fmt: skip
def test_a_nat_is_judged_by_what_it_did(
    lines: list[str], sources: list[tuple[str, int]], expected: bool | None
) -> None:
    assert maps_anew([Candidate.parse(line) for line in lines], sources) is expected
