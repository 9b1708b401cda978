"""A peer that knows our ICE password puts somebody else's address on its packets (RFC 9000, section 8.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from relay.calls.allowance import HEADERS
from relay.calls.distrust import UNANSWERED
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

    def check(self, source: Address = SOMEBODY, sender: str = "abcd") -> None:
        ours = read(self.offer, self.offer.medias[0])
        assert ours.pwd is not None
        transaction = self.spent.to_bytes(12, "big")
        username, key = f"{ours.ufrag}:{sender}", ours.pwd.encode()
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


# ICE-lite: candidates that a party names are checked, though nobody has been heard from there.

VICTIM = "203.0.113.99"
CHECKED_FOR = 60.0
KEYS = ("ice-ufrag:" + "u" * 256, "ice-pwd:abcdefghijklmnopqrstuv")
LITE_FRAGMENT = "a=candidate:{0} 1 udp {0} {1} {0} typ host\r\n"


def lite(medias: int, candidates: int, host: str = VICTIM, keys: tuple[str, ...] = KEYS) -> str:
    """A description whose candidates are all at ``host``."""
    head = ["v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0", "a=ice-lite"]
    body = []
    for media in range(medias):
        body += [f"m=audio {1000 + media} RTP/AVP 0"]
        body += [
            f"a=candidate:1 {1 + number % 2} udp 9 {host} {2000 + 100 * media + number} typ host"
            for number in range(candidates)
        ]
    return "\r\n".join([*head, *(f"a={key}" for key in keys), *body, ""])


def flooded(desk: Desk, host: str = VICTIM) -> int:
    """Octets that went to ``host`` until all checks were given up."""
    end = desk.now + CHECKED_FOR
    while (due := desk.registry.next_check()) is not None and due <= end:
        desk.now = max(due, desk.now)
        desk.registry.check(desk.now)
    return sum(len(datagram) for _, (address, _), datagram in desk.box.sent if address == host)


@pytest.mark.parametrize(("medias", "candidates"), [(1, 1), (1, 16), (24, 1), (24, 32), (60, 4)])
def test_one_invite_of_a_lite_phone_sends_little_to_whom_it_names(medias: int, candidates: int) -> None:
    desk = Desk(PLAIN[:1])
    invite = lite(medias, candidates)
    desk.offer(invite, ICE="force")
    flood = flooded(desk)
    assert 0 < flood <= AMPLIFICATION * (HEADERS + len(invite))
    assert (desk.registry.calls["call"].legs[1].allowance.refused > 0) is (medias * candidates > 1)


def test_an_invite_that_rings_many_phones_is_counted_once() -> None:
    desk = Desk(PLAIN[:1])
    invite = lite(1, 16)
    for branch in range(10):
        desk.offer(invite, ICE="force", via_branch=f"z9hG4bK{branch}")
    assert flooded(desk) <= AMPLIFICATION * (HEADERS + len(invite))


def test_hosts_that_one_invite_names_share_what_it_may_send() -> None:
    desk = Desk(PLAIN[:1])
    lines = lite(24, 16).split("\r\n")
    hosts = [f"203.0.113.{number}" for number in range(100, 200)]
    named = [
        line.replace(VICTIM, hosts[at % 100]) if "candidate" in line else line
        for at, line in enumerate(lines)
    ]
    desk.offer("\r\n".join(named), ICE="force")
    flood = sum(flooded(desk, host) for host in hosts)
    assert 0 < flood <= AMPLIFICATION * (HEADERS + sum(map(len, named)) + 2 * len(named))


def test_a_fragment_of_a_lite_phone_sends_little_as_well() -> None:
    desk = Desk(PLAIN[:1])
    invite = lite(1, 0)
    desk.offer(invite, ICE="force")
    spent = HEADERS + len(invite)
    named = "".join(LITE_FRAGMENT.format(number, VICTIM) for number in range(2000, 2016))
    fragment = "m=audio 9 RTP/AVP 0\r\n" + named
    desk.command("offer", sdp=fragment, call_id="call", from_tag="A", flags=["fragment"])
    spent += HEADERS + len(fragment)
    assert 0 < flooded(desk) <= AMPLIFICATION * spent


def test_checks_of_a_full_agent_whose_source_is_forged_earn_no_flood_either() -> None:
    peer = Peer()
    keys = KEYS[0].replace("u" * 256, "abcd" + "u" * 252), KEYS[1]
    peer.desk.answer(sdp("192.0.2.99", 9, *keys, "rtcp-mux", protocol=DTLS))
    described = HEADERS + 600
    for port in range(5000, 5032):
        peer.check((SOMEBODY[0], port), sender=keys[0].partition(":")[2])
    peer.wait(CHECKED_FOR)
    checks = [
        dg for _, remote, dg in peer.desk.box.sent if remote[0] == SOMEBODY[0] and dg.startswith(b"\0\1")
    ]
    assert 0 < sum(map(len, checks)) <= AMPLIFICATION * (described + peer.spent)


def test_a_lite_phone_that_answers_is_checked_at_every_media() -> None:
    desk = Desk(PLAIN[:1])
    invite = lite(24, 2, keys=ICE[:2])
    desk.offer(invite, ICE="force")
    reached: set[int] = set()
    for _ in range(400):
        sent, desk.box.sent = desk.box.sent, []
        for port, remote, datagram in sent:
            if datagram.startswith(b"\0\1"):
                reached.add(remote[1])
                answer = stun.success(stun.parse(datagram), ("192.0.2.1", 9), PASSWORD)
                desk.registry.stun(port, remote, answer, desk.now)
        desk.now += 0.02
        desk.registry.check(desk.now)
    assert len(reached) == 48
    assert desk.registry.calls["call"].legs[1].allowance.refused == 0


def test_checks_that_were_held_back_are_counted_when_the_leg_ends() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(lite(1, 16), ICE="force")
    flooded(desk)
    assert desk.registry.distrust.counts[UNANSWERED] == 0
    desk.command("delete", call_id="call", delete_delay=0)
    assert desk.registry.distrust.counts[UNANSWERED] > 0
