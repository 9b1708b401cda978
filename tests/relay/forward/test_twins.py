"""The native plane and its slow twin do the same with the same random datagrams."""

import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from relay.forward._fastpath import NativePlane
from relay.forward.fake import FakePlane
from relay.forward.fake_srtp import Keys
from relay.forward.offload.steering import Steering
from relay.forward.plane import SUMS, Dtls, Event, Stun
from relay.forward.rule import Address, Change, Clock, Drop, Learn, Marks, Rule, StunKeys
from relay.srtp.profiles import MasterKey, profile_named
from tests.relay.forward import checks
from tests.seeds import seeds

Phones = Callable[[str], socket.socket]

HOSTS = ("127.0.0.2", "127.0.0.3", "::1")
COMPARED = (*SUMS, "ssrc", "seq", "payload_type", "state", "clock")
FOREVER = 1e6
MIDS = (b"0", b"1", b"video", b"")
SUITES = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM")


@dataclass
class Twins:
    """Both planes with the same ports and rules, and sockets that send to and receive from them."""

    rng: random.Random
    native: NativePlane
    fake: FakePlane
    phones: list[socket.socket]
    sides: list[Address] = field(default_factory=list)
    rules: dict[int, Rule] = field(default_factory=dict)
    seqs: dict[Address, int] = field(default_factory=dict)
    keys: dict[int, Keys] = field(default_factory=dict)
    """Handles, and the peer's end of them."""
    old: list[bytes] = field(default_factory=list)
    sent: int = 0
    raised: int = 0

    def open_ports(self, count: int) -> None:
        for index in range(count):
            v6 = index % 3 == 2
            sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(("::1" if v6 else "127.0.0.1", 0))
            self.sides.append(name(sock))
            assert self.fake.open(sock.dup(), 0) == self.native.open(sock, 0)

    def apply(self, changes: list[Change]) -> None:
        self.fake.apply(changes)
        self.native.apply(changes)
        for change in changes:
            if isinstance(change, Drop):
                del self.rules[change.id]
            else:
                self.rules[change.id] = change

    def allocate(self) -> int:
        id = self.native.allocate()
        assert self.fake.allocate() == id
        return id

    def address(self) -> Address:
        return name(self.rng.choice(self.phones))

    def open_keys(self) -> None:
        profile = profile_named(self.rng.choice(SUITES))
        ours, theirs = (
            MasterKey.split(profile, self.rng.randbytes(profile.key_length + profile.salt_length))
            for _ in range(2)
        )
        handle = self.native.open_keys(profile, theirs, ours)
        assert self.fake.open_keys(profile, theirs, ours) == handle
        self.keys[handle] = Keys.open(profile, ours, theirs)

    def close_keys(self) -> None:
        """Any of them, in use or not; rules that name it are not changed in this test."""
        handle = self.rng.choice(list(self.keys))
        self.native.close_keys(handle)
        self.fake.close_keys(handle)
        del self.keys[handle]

    def random_rule(self, id: int) -> Rule:
        rng, known = self.rng, [*self.rules, id]
        keys = rng.choice(list(self.keys)) if self.keys and rng.random() < 0.6 else None
        dtls = bool(self.keys) and rng.random() < 0.3
        sources = tuple(self.address() for _ in range(rng.choice([0, 0, 2])))
        leaders = [rule for rule in self.rules.values() if rule.marks and rule.marks.leader == rule.id != id]
        if leaders and rng.random() < 0.5:
            return self.random_follower(id, rng.choice(leaders))
        opaque = rng.random() < 0.2 and not dtls and keys is None
        return Rule(
            id,
            port=rng.randrange(len(self.sides)),
            remote=rng.choice([None, self.address(), (rng.choice(HOSTS), 9)]),
            learn=rng.choice([Learn.WINDOW, Learn.WINDOW, Learn.NOBODY]),
            hint=rng.choice([None, *HOSTS]),
            sources=sources,
            asymmetric=rng.random() < 0.2,
            rtp=tuple(rng.sample(known, rng.randint(0, min(3, len(known))))),
            rtcp=tuple(rng.sample(known, rng.randint(0, min(2, len(known))))),
            stun=rng.random() < 0.3,
            opaque=opaque,
            generation=rng.choice([0, 0, 1]),
            described=rng.choice([0, 1]),
            keys=keys,
            dtls=dtls,
            plain_rtcp=rng.random() < 0.5,
            stun_keys=self.random_stun_keys(sources) if rng.random() < 0.5 else None,
            marks=self.random_marks(id) if rng.random() < 0.4 and not opaque else None,
            clock=rng.choice([None, Clock(8000, frozenset({0, 8, 127}))]),
        )

    def random_follower(self, id: int, leader: Rule) -> Rule:
        """Another media of the leader's bundle."""
        known = [*self.rules, id]
        return Rule(
            id,
            leader.port,
            self.address(),
            Learn.NOBODY,
            rtp=tuple(self.rng.sample(known, 1)),
            rtcp=tuple(self.rng.sample(known, 1)),
            keys=leader.keys if leader.keys in self.keys else None,
            dtls=leader.dtls,
            plain_rtcp=self.rng.random() < 0.5,
            marks=self.random_marks(leader.id),
        )

    def random_marks(self, leader: int) -> Marks:
        rng = self.rng
        return Marks(
            leader,
            rng.choice(MIDS),
            mid_id=rng.choice([0, 4, 4, 14]),
            payload_types=frozenset(rng.sample([0, 8, 63, 64, 127], rng.randint(0, 3))),
            ssrcs=tuple(rng.sample(range(7, 12), rng.randint(0, 2))),
        )

    def random_stun_keys(self, sources: tuple[Address, ...]) -> StunKeys:
        rng = self.rng
        return replace(
            checks.KEYS,
            remote_ufrag=rng.choice(["peer", "other"]),
            controlling=rng.random() < 0.5,
            settled=tuple(source for source in sources if rng.random() < 0.8),
            nominated=rng.choice([None, *sources]),
        )

    def random_datagram(self, port: int, source: Address) -> bytes:
        """Anything, or what a peer with keys might send: fresh, again, or damaged."""
        if self.rng.random() < 0.15:
            return self.random_check(port)
        expected = [rule.keys for rule in self.rules.values() if rule.port == port and rule.keys in self.keys]
        if not self.keys or self.rng.random() < 0.2:
            return self.random_plain(source)
        handle = self.rng.choice([*expected * 5, *self.keys])
        plain = self.random_plain(("SRTP", handle or 0))
        if plain[:1] == b"\xbf":  # padding, header extensions and sources that are not there
            plain = b"\x80" + plain[1:]
        rtcp = len(plain) > 8 and 192 <= plain[1] < 224
        protected = self.keys[handle].leaving.protect(plain, rtcp) if len(plain) >= 12 else None
        if protected is None:
            return plain
        if self.old and self.rng.random() < 0.1:
            return self.rng.choice(self.old)
        self.old = [*self.old[-50:], protected]
        if self.rng.random() < 0.1:
            place = self.rng.randrange(len(protected))
            return protected[:place] + bytes([protected[place] ^ 4]) + protected[place + 1 :]
        return protected[: self.rng.randrange(len(protected))] if self.rng.random() < 0.05 else protected

    def random_check(self, port: int) -> bytes:
        """What a peer of a rule at this port might send, or not quite."""
        at = [rule.stun_keys for rule in self.rules.values() if rule.port == port and rule.stun_keys]
        keys = self.rng.choice(at) if at else checks.KEYS
        draft = checks.honest(self.rng, keys, nominate=self.rng.random() < 0.2)
        if self.rng.random() < 0.2:
            draft = checks.altered(self.rng, draft)
        return checks.damaged(self.rng, draft.write()) if self.rng.random() < 0.1 else draft.write()

    def random_plain(self, source: Address) -> bytes:
        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            seq = (self.seqs.get(source, 65530) + rng.choice([1, 1, 1, 1, 2, 10, 11, 0])) & 0xFFFF
            self.seqs[source] = seq
            ssrc = rng.choice([7, 7, 7, 7, 8, 9, 10])
            head = bytes([rng.choice([0x80, 0x90, 0x90, 0xBF]), rng.choice([0, 8, 127, 191, 224, 255])])
            body = rng.randbytes(rng.randrange(40))
            if head[0] == 0x90:
                body = self.random_extensions() + body
            return head + seq.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + body
        if kind < 0.65:
            return self.random_rtcp()
        if kind < 0.75:
            return self.random_compound()
        if kind < 0.8:
            extra = 4 * rng.randrange(4)
            cookie = rng.choice([0x2112A442, 0x2112A442, 1]).to_bytes(4, "big")
            return bytes([0, 1, 0, extra + rng.choice([0, 0, 1])]) + cookie + rng.randbytes(12 + extra)
        if kind < 0.9:
            return bytes([rng.choice([20, 22, 63])]) + rng.randbytes(rng.randrange(40))
        return rng.randbytes(rng.randrange(30))

    def random_extensions(self) -> bytes:
        """Of an RTP packet: a mid among others, whole packets of either form, or broken within."""
        rng = self.rng
        long = rng.random() < 0.3
        elements = b""
        for id in rng.sample([1, 4, 14], rng.randint(0, 3)):
            value = rng.choice(MIDS) or b"?"
            elements += (bytes([id, len(value)]) if long else bytes([id << 4 | len(value) - 1])) + value
            elements += bytes(rng.choice([0, 0, 1]))
        if rng.random() < 0.1:
            elements += rng.randbytes(3)
        elements += bytes(-len(elements) % 4)
        profile = 0x1000 + rng.randrange(16) if long else 0xBEDE
        return profile.to_bytes(2, "big") + (len(elements) // 4).to_bytes(2, "big") + elements

    def random_rtcp(self) -> bytes:
        """One or two packets of any type, with few SSRCs in all places, or broken ones."""
        rng, compound = self.rng, b""
        for _ in range(rng.randint(1, 2)):
            words = rng.randint(1, 9)
            kind = rng.choice([200, 201, 205, 206, rng.randint(192, 223)])
            compound += bytes([0x80 | rng.randrange(3), kind]) + words.to_bytes(2, "big")
            compound += b"".join(rng.randrange(12).to_bytes(4, "big") for _ in range(words))
        return compound if rng.random() < 0.8 else compound[: rng.randint(2, len(compound))]

    def random_compound(self) -> bytes:
        """RTCP with feedback or without, at times cut short."""
        rng = self.rng
        found = b""
        for _ in range(rng.randint(1, 4)):
            words = rng.choice([1, 1, 2, 6])
            type = rng.choice([200, 201, 202, 203, 205, 206])
            found += bytes([rng.choice([0x80, 0x81, 0x8F]), type, 0, words]) + rng.randbytes(4 * words)
        return found[: rng.randint(8, len(found))] if rng.random() < 0.1 else found

    def exchange(self, port: int, count: int, now: float) -> None:
        """Datagrams from anyone to one port; what comes out of both planes is the same."""
        expected: dict[Address, list[tuple[Address, bytes]]] = {}
        near = [phone for phone in self.phones if (":" in name(phone)[0]) == (":" in self.sides[port][0])]
        for _ in range(count):
            phone = self.rng.choice(near)
            datagram = self.random_datagram(port, name(phone))
            phone.sendto(datagram, self.sides[port])
            for sender, to, sent in self.fake.deliver(port, name(phone), datagram, now):
                expected.setdefault(to, []).append((self.sides[sender], sent))
        self.sent += count
        assert self.native_events() == self.fake.events()
        for phone in self.phones:
            wanted = expected.get(name(phone), [])
            found = [phone.recvfrom(10000) for _ in wanted]
            assert in_order([(source[:2], datagram) for datagram, source in found]) == in_order(wanted)
        self.compare_state()

    def native_events(self) -> list[Event]:
        """Events of the native plane, once it has seen all that was sent."""
        events: list[Event] = []
        end = time.monotonic() + 5
        while self.seen() + sum(isinstance(event, Stun | Dtls) for event in events) < self.sent:
            assert time.monotonic() < end, "datagrams are missing"
            events += self.native.events()
        events += self.native.events()
        self.raised += sum(isinstance(event, Stun | Dtls) for event in events)
        return events

    def seen(self) -> int:
        totals = self.native.totals()
        ends = (
            "rtp_packets", "rtcp_packets", "stranger", "malformed", "stun", "auth", "replay", "no_rule",
            "stun_answered", "stun_limited", "no_media",
        )  # fmt: skip
        return self.raised + sum(totals[end] for end in ends)

    def compare_state(self) -> None:
        end = time.monotonic() + 5
        while self.native.totals() != self.fake.totals() and time.monotonic() < end:
            select.select([], [], [], 0.001)  # the last packet may still be on its way out
        assert self.native.totals() == self.fake.totals()
        for id in self.rules:
            assert self.native.peer(id) == self.fake.peer(id)
            ours, theirs = self.native.counters()[id], self.fake.counters()[id]
            assert [int(ours[key]) for key in COMPARED] == [int(theirs[key]) for key in COMPARED]
            timeless = [[said[:5] for said in plane.reports(id)] for plane in (self.native, self.fake)]
            assert timeless[0] == timeless[1]


def in_order(arrived: list[tuple[Address, bytes]]) -> list[tuple[Address, bytes]]:
    """Answers to checks first: they are sent at once, and overtake media."""
    return sorted(arrived, key=lambda one: one[1][:2] != b"\x01\x01")


def name(sock: socket.socket) -> Address:
    address: Address = sock.getsockname()[:2]
    return address


@pytest.mark.parametrize("window", [FOREVER, 0.0])
@pytest.mark.parametrize("seed", seeds(25))
@pytest.mark.parametrize("keys", [0, 3])
def test_twins_agree_on_random_calls(seed: int, window: float, keys: int, phones: Phones) -> None:
    native, fake = NativePlane(rules=64, window=window), FakePlane(rules=64, window=window)
    twins = Twins(random.Random(seed), native, fake, [phones(host) for host in HOSTS * 3])
    try:
        twins.open_ports(3)
        for _ in range(keys):
            twins.open_keys()
        for step in range(40):
            if step < 4 or (twins.rng.random() < 0.2 and len(twins.rules) < 12):
                twins.apply([twins.random_rule(twins.allocate())])
            elif twins.rng.random() < 0.4:
                twins.apply([change_of(twins, twins.rng.choice(list(twins.rules.values())))])
            elif len(twins.rules) > 2 and twins.rng.random() < 0.1:
                twins.apply([Drop(twins.rng.choice(list(twins.rules)))])
            if keys and twins.rng.random() < 0.04:
                twins.close_keys()
                twins.open_keys()
            twins.exchange(twins.rng.randrange(3), twins.rng.randint(1, 30), now=float(step))
    finally:
        native.stop()
        fake.stop()


@pytest.mark.parametrize("keys", [0, 3])
@pytest.mark.parametrize("seed", seeds(100, 108))
def test_a_shared_queue_changes_nothing(seed: int, keys: int, phones: Phones) -> None:
    """One datagram after the other: those of a settled peer and of a stranger wait in different queues."""
    native, fake = NativePlane(rules=64, window=0.0, steering=Steering(1)), FakePlane(rules=64, window=0.0)
    twins = Twins(random.Random(seed), native, fake, [phones(host) for host in HOSTS * 3])
    try:
        twins.open_ports(3)
        for _ in range(keys):
            twins.open_keys()
        for step in range(40):
            if step < 4:
                twins.apply([twins.random_rule(twins.allocate())])
            elif twins.rng.random() < 0.3:
                twins.apply([change_of(twins, twins.rng.choice(list(twins.rules.values())))])
            elif len(twins.rules) > 2 and twins.rng.random() < 0.1:
                twins.apply([Drop(twins.rng.choice(list(twins.rules)))])
            for _ in range(8):
                twins.exchange(twins.rng.randrange(3), 1, now=float(step))
        assert native.by_shared() > 0
    finally:
        native.stop()
        fake.stop()


def change_of(twins: Twins, rule: Rule) -> Rule:
    """Another rule for the same id, often with the same latch."""
    other = twins.random_rule(rule.id)
    return other if twins.rng.random() < 0.5 else replace(other, port=rule.port, generation=rule.generation)
