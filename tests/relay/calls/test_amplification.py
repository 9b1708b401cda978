"""A peer that knows our ICE password puts somebody else's address on its packets (RFC 9000, section 8.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from relay.dtls.handshake import AMPLIFICATION, PACKET_HEADERS, Handshake, Role, Send
from relay.forward.rule import Address
from relay.ice import stun
from sdp.ice import read
from sdp.session import Session
from tests.relay.calls.desk import ICE, IDENTITY, PLAIN, Desk, sdp, told
from tests.relay.calls.test_keying import DTLS, PHONE

SOMEBODY: Address = ("203.0.113.77", 5000)
PASSWORD = b"abcdefghijklmnopqrstuv"
"""The peer's, as ICE says it."""
HANDSHAKE = 22
"""First octet of a DTLS flight."""


@dataclass
class Peer:
    """The callee, a browser; it may send from anywhere."""

    desk: Desk = field(default_factory=lambda: Desk(PLAIN[:1]))
    spent: int = 0
    """Octets that it sent, with headers."""

    def __post_init__(self) -> None:
        self.offer = self._offered()
        self.port = next(iter(h for h, p in self.desk.box.ports.items() if p.number == told(self.offer)[1]))

    def _offered(self) -> Session:
        return self.desk.offer(sdp(), ICE="force", transport_protocol=DTLS, rtcp_mux=["offer", "require"])

    def answer(self) -> None:
        keys = f"fingerprint:{PHONE.fingerprint()}", "setup:active", "rtcp-mux"
        self.desk.answer(sdp("192.0.2.99", 9, *ICE[:2], *keys, protocol=DTLS))

    def check(self, source: Address = SOMEBODY) -> None:
        ours = read(self.offer, self.offer.medias[0])
        assert ours.pwd is not None
        transaction = self.spent.to_bytes(12, "big")
        username, key = f"{ours.ufrag}:abcd", ours.pwd.encode()
        request = stun.request(transaction, username, key, 1, 7, controlling=False, nominate=False)
        self.spent += len(request) + PACKET_HEADERS
        self.desk.registry.stun(self.port, source, request, self.desk.now)

    def hello(self, source: Address = SOMEBODY) -> None:
        (hello,) = Handshake(PHONE, Role.ACTIVE, [IDENTITY.fingerprint()]).start(self.desk.now)
        assert isinstance(hello, Send)
        self.spent += len(hello.datagram) + PACKET_HEADERS
        self.desk.registry.dtls(self.port, source, hello.datagram, self.desk.now)

    def answer_checks(self, source: Address = SOMEBODY) -> None:
        """What nobody can who only forges the source: it has to read what was sent there."""
        for datagram in self.got(source):
            if datagram.startswith(b"\0\1"):
                answer = stun.success(stun.parse(datagram), ("192.0.2.1", 9), PASSWORD)
                self.desk.registry.stun(self.port, source, answer, self.desk.now)

    def got(self, source: Address = SOMEBODY) -> list[bytes]:
        return [datagram for _, remote, datagram in self.desk.box.sent if remote == source]

    def flights(self, source: Address = SOMEBODY) -> int:
        return sum(datagram[0] == HANDSHAKE for datagram in self.got(source))

    def wait(self, seconds: float) -> None:
        end = self.desk.now + seconds
        while (due := self.desk.registry.next_check()) is not None and due <= end:
            self.desk.now = max(due, self.desk.now)
            self.desk.registry.check(self.desk.now)
        self.desk.now = end


@pytest.mark.parametrize("early", [True, False])
def test_somebody_else_gets_at_most_three_times_what_was_sent_in_his_name(early: bool) -> None:
    peer = Peer()
    if not early:
        peer.answer()
    for _ in range(3):
        peer.check()
        peer.hello()
        peer.wait(1.5)
    if early:
        peer.answer()
    peer.wait(40.0)
    ours = [datagram for datagram in peer.got() if not datagram.startswith(b"\0\1")]
    assert sum(len(datagram) + PACKET_HEADERS for datagram in ours) <= AMPLIFICATION * peer.spent
    assert peer.flights()


def test_a_flight_that_was_held_back_leaves_the_moment_that_a_check_of_ours_is_answered() -> None:
    peer = Peer()
    peer.answer()
    peer.check()
    peer.hello()
    peer.wait(2.0)
    before = peer.flights()
    peer.answer_checks()
    assert peer.flights() == before + 1


@pytest.mark.parametrize("early", [True, False])
def test_the_first_flight_to_a_peer_that_checked_does_not_wait_for_an_answer(early: bool) -> None:
    peer = Peer()
    if not early:
        peer.answer()
    peer.check()
    peer.hello()
    if early:
        peer.answer()
    assert peer.flights() == 1


def test_a_peer_that_answered_our_check_is_repeated_to_as_often_as_needed() -> None:
    peer = Peer()
    peer.answer()
    peer.check()
    peer.answer_checks()
    peer.hello()
    peer.wait(10.0)
    assert peer.flights() > 6
