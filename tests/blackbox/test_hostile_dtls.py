"""Peers that shake hands badly: refused, counted, nobody else is worse off; honest ones on bad networks."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator

import pytest
from aioice import stun
from OpenSSL import SSL

from tests.blackbox.daemon import Daemon, wait_until
from tests.blackbox.description import Description, sdp
from tests.blackbox.dialogue import Dialogue
from tests.blackbox.dtls_phone import (
    ANOTHER,
    DTLS,
    Call,
    DtlsPhone,
    Lossy,
    dtls_sdp,
    fragments,
    set_up,
)
from tests.blackbox.phone import PATIENCE, Phone, Port, rtp, told
from tests.ng import Value

ALICE, BOB, CARA, DAVE, STRANGER = "127.0.1.51", "127.0.1.52", "127.0.1.53", "127.0.1.54", "127.0.1.76"
HANDSHAKE = 22
"""First byte of a DTLS flight."""
HEADERS = 28
"""IPv4 and UDP."""
CLIENT_RANDOM = slice(13 + 12 + 2, 13 + 12 + 34)
"""In a datagram with a whole ClientHello."""


@pytest.fixture
def caller() -> Iterator[Phone]:
    with Phone(ALICE, "alice") as phone:
        yield phone


@pytest.fixture
def phone() -> Iterator[DtlsPhone]:
    with DtlsPhone(BOB) as phone:
        yield phone


@pytest.fixture
def stranger() -> Iterator[Port]:
    port = Port(STRANGER)
    yield port
    port.close()


class Neighbours:
    """A plain call beside."""

    def __init__(self, daemon: Daemon, one: Phone, other: Phone) -> None:
        call = Dialogue(daemon.client, "neighbours@hostile")
        self.one, self.other = one, other
        offered = call.offer(one.sdp())
        self.to_one, self.to_other = told(call.answer(other.sdp())), told(offered)

    def talk(self) -> None:
        """A packet each way."""
        for from_, to, at in ((self.one, self.other, self.to_one), (self.other, self.one, self.to_other)):
            packet = from_.talk(at)
            while to.rtp.receive()[0] != packet:
                pass


@pytest.fixture
def neighbours(daemon: Daemon) -> Iterator[Neighbours]:
    with Phone(CARA, "cara") as one, Phone(DAVE, "dave") as other:
        found = Neighbours(daemon, one, other)
        found.talk()
        yield found
        found.talk()
        one.rtp.waiting()


def assert_talk(phone: DtlsPhone, caller: Phone, there: Call) -> None:
    """A packet each way: protected outside, plain inside."""
    sent, heard = phone.sessions()
    packet = rtp(1, ssrc=7)
    phone.port.send(there.callee_side, sent.protect(packet))
    assert caller.rtp.receive()[0] == packet
    packet = caller.talk(there.caller_side)
    while (protected := phone.port.receive()[0])[0] < 128:
        pass
    assert heard.unprotect(protected) == packet


def hellos(phone: DtlsPhone, number: int, seed: int = 1) -> list[bytes]:
    """ClientHellos of so many clients."""
    chance, hello = random.Random(seed), bytearray(phone.flight())
    found = []
    for _ in range(number):
        hello[CLIENT_RANDOM] = chance.randbytes(32)
        found.append(bytes(hello))
    return found


def failed(daemon: Daemon, reason: str) -> float:
    return daemon.metric("icerelay_dtls_handshakes_failed_total", reason)


def said(daemon: Daemon, call_id: str) -> list[str]:
    """What the log has about keys of this call."""
    return [line for line in daemon.log.splitlines() if "dtls failed" in line and call_id in line]


@pytest.mark.parametrize("active", [True, False], ids=["active", "passive"])
def test_an_honest_phone_talks(daemon: Daemon, call: Dialogue, caller: Phone, active: bool) -> None:
    before = daemon.metric("icerelay_dtls_handshakes_done_total")
    with DtlsPhone(BOB, active) as phone:
        there = set_up(call, caller, phone.port.address, "active" if active else "passive")
        phone.shake(there.callee_side)
        wait_until(lambda: daemon.metric("icerelay_dtls_handshakes_done_total") == before + 1, "keys")
        assert_talk(phone, caller, there)
    assert daemon.metric("icerelay_dtls_handshakes") == 0


def test_openssl_without_a_certificate_is_refused(
    daemon: Daemon, call: Dialogue, caller: Phone, neighbours: Neighbours
) -> None:
    before = failed(daemon, "no-certificate")
    port = Port(BOB)
    port.close()  # for openssl to bind
    there = set_up(call, caller, port.address, "active")
    at, relay = (f"{host}:{number}" for host, number in (port.address, there.callee_side))
    words = ["openssl", "s_client", "-dtls1_2", "-connect", relay, "-bind", at, "-use_srtp"]
    done = subprocess.run(
        [*words, "SRTP_AES128_CM_SHA1_80"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert b"alert handshake failure" in done.stderr
    assert failed(daemon, "no-certificate") == before + 1
    (line,) = said(daemon, call.call_id)
    assert "tag=B media=0 reason=no-certificate" in line


@pytest.mark.parametrize("active", [True, False], ids=["active", "passive"])
def test_a_certificate_that_the_description_did_not_promise_is_refused_and_logged_once(
    daemon: Daemon, call: Dialogue, caller: Phone, neighbours: Neighbours, active: bool
) -> None:
    before = failed(daemon, "fingerprint")
    with DtlsPhone(BOB, active) as phone:
        setup = "active" if active else "passive"
        there = set_up(call, caller, phone.port.address, setup, ANOTHER.fingerprint)
        with pytest.raises(SSL.Error):
            phone.shake(there.callee_side)
        wait_until(lambda: failed(daemon, "fingerprint") == before + 1, "the failure is counted")
        phone.port.send(there.callee_side, rtp(1))
        caller.talk(there.caller_side)
    neighbours.talk()
    assert caller.rtp.waiting() == []
    assert len(said(daemon, call.call_id)) == 1


def test_noise_is_not_answered_and_an_honest_handshake_comes_through(
    daemon: Daemon, call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    chance = random.Random(5)
    there = set_up(call, caller, phone.port.address, "active")
    for _ in range(500):
        content = chance.randbytes(chance.randrange(13, 300))
        record = bytes([chance.randrange(20, 24), 0xFE, 0xFD]) + chance.randbytes(8)
        whole = record + len(content).to_bytes(2) + content
        noise = bytes([chance.randrange(20, 64)]) + content
        phone.port.send(there.callee_side, chance.choice([whole, noise, whole[:-1]]))
    neighbours.talk()
    assert phone.port.waiting() == []
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)


def test_a_client_hello_that_is_cut_off_is_not_answered(
    call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    hello = phone.flight()
    for length in range(1, len(hello)):
        phone.port.send(there.callee_side, hello[:length])
    neighbours.talk()
    phone.port.send(there.callee_side, hello)
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)


@pytest.mark.parametrize("size", [40, 100])
def test_a_client_hello_in_fragments_begins_a_handshake(
    call: Dialogue, caller: Phone, phone: DtlsPhone, size: int
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    for fragment in fragments(phone.flight(), size):
        phone.port.send(there.callee_side, fragment)
    assert phone.port.is_readable(PATIENCE)  # it has not repeated its ClientHello in one piece
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)


def test_a_client_hello_without_its_first_fragment_is_not_answered(
    call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    for fragment in 20 * fragments(phone.flight(), 40)[1:]:
        phone.port.send(there.callee_side, fragment)
    neighbours.talk()
    assert phone.port.waiting() == []


def test_a_flood_from_the_phones_own_address_is_counted_and_changes_no_keys(
    daemon: Daemon, call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    phone.shake(there.callee_side)
    before = daemon.metric("icerelay_dtls_dropped_total")
    with DtlsPhone(BOB) as other:
        flood = hellos(other, 3000)
    for number, hello in enumerate(flood):
        phone.port.send(there.callee_side, hello)
        if number % 500 == 0:
            neighbours.talk()
    wait_until(lambda: daemon.metric("icerelay_dtls_dropped_total") > before, "they are counted")
    assert daemon.client.ask("ping") == {"result": "pong"}
    answers = sum(len(datagram) + HEADERS for datagram in phone.port.waiting())
    assert answers < 3 * sum(len(hello) + HEADERS for hello in flood) / 100
    assert_talk(phone, caller, there)


def test_a_flood_before_the_handshake_does_not_keep_the_phone_out(
    daemon: Daemon, call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    with DtlsPhone(BOB) as other:
        for hello in hellos(other, 1000):
            phone.port.send(there.callee_side, hello)
    neighbours.talk()
    wait_until(lambda: daemon.metric("icerelay_dtls_handshakes") == 1, "one handshake has begun")
    phone.port.waiting()
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)


def test_strangers_get_no_more_than_three_times_what_they_send(
    daemon: Daemon, call: Dialogue, caller: Phone, phone: DtlsPhone, neighbours: Neighbours
) -> None:
    """Without ICE one of them might be the phone behind a NAT."""
    there = set_up(call, caller, phone.port.address, "active")
    strangers = [Port(STRANGER) for _ in range(20)]
    with DtlsPhone(STRANGER) as other:
        flood = hellos(other, 20)
    for stranger, hello in zip(strangers, flood, strict=True):
        stranger.send(there.callee_side, hello)
    neighbours.talk()
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)
    for stranger in strangers:
        answers = sum(len(datagram) + HEADERS for datagram in stranger.waiting())
        assert answers <= 3 * (len(flood[0]) + HEADERS)
        stranger.close()


def test_with_ice_a_stranger_gets_nothing(
    daemon: Daemon, call: Dialogue, caller: Phone, stranger: Port, neighbours: Neighbours
) -> None:
    before = daemon.metric("icerelay_dropped_packets_total", "stranger")
    keys: dict[str, Value] = {"transport-protocol": DTLS, "rtcp-mux": ["offer", "require"], "ICE": "force"}
    there = told(call.offer(caller.sdp(), **keys))
    ice = sdp("a=ice-ufrag:bobs", "a=ice-pwd:bobbobbobbobbobbobbobb")
    with DtlsPhone(STRANGER) as other:
        flood = hellos(other, 100)
    call.answer(dtls_sdp((BOB, 20000), "active") + ice)
    for hello in flood:
        stranger.send(there, hello)
    wait_until(
        lambda: daemon.metric("icerelay_dropped_packets_total", "stranger") >= before + 100,
        "all of them are dropped",
    )
    assert stranger.waiting() == []


def test_hundreds_of_refused_phones_leave_nothing_behind(daemon: Daemon, caller: Phone) -> None:
    def refuse(name: str, number: int) -> None:
        for index in range(number):
            with DtlsPhone(BOB) as phone:
                call = Dialogue(daemon.client, f"{name}-{index}@hostile")
                there = set_up(call, caller, phone.port.address, "active", ANOTHER.fingerprint)
                with pytest.raises(SSL.Error):
                    phone.shake(there.callee_side)
                call.ask("delete", from_tag="A")

    refuse("first", 50)
    memory, descriptors = daemon.memory, daemon.descriptors
    refuse("then", 200)
    wait_until(lambda: daemon.descriptors <= descriptors, "all descriptors are closed")
    wait_until(lambda: daemon.metric("rtpengine_ports_used") == 0, "all ports are free")
    assert daemon.metric("icerelay_dtls_handshakes") == 0
    assert daemon.memory - memory < 200 * 20_000  # a handshake has 65 kB


@pytest.mark.parametrize("active", [True, False], ids=["active", "passive"])
def test_a_phone_with_a_new_certificate_is_heard_throughout(
    daemon: Daemon, call: Dialogue, caller: Phone, phone: DtlsPhone, active: bool
) -> None:
    there = set_up(call, caller, phone.port.address, "active")
    phone.shake(there.callee_side)
    assert_talk(phone, caller, there)
    before = daemon.metric("icerelay_dtls_handshakes_done_total")
    setup = "active" if active else "passive"
    sent, _ = phone.sessions()
    assert set_up(call, caller, phone.port.address, setup, ANOTHER.fingerprint) == there
    packet = rtp(100, ssrc=9)
    phone.port.send(there.callee_side, sent.protect(packet))
    assert caller.rtp.receive()[0] == packet
    with DtlsPhone(BOB, active, ANOTHER, phone.port) as renewed:
        renewed.shake(there.callee_side)
        wait_until(lambda: daemon.metric("icerelay_dtls_handshakes_done_total") == before + 1, "new keys")
        renewed.port.waiting()
        assert_talk(renewed, caller, there)


def test_a_client_hello_that_is_sooner_than_the_answer_is_answered_after_it(
    call: Dialogue, caller: Phone, phone: DtlsPhone
) -> None:
    """ICE may be up before signalling has carried the answer to us."""
    keys: dict[str, Value] = {"transport-protocol": DTLS, "rtcp-mux": ["offer", "require"], "ICE": "force"}
    offer = call.offer(caller.sdp(), **keys)
    there = told(offer)
    for _ in range(2):  # when the second one is answered, what the first one brought is in force
        phone.port.send(there, check(offer, "bobs"))
        assert phone.port.receive()[0][:2] == b"\x01\x01"  # a success
    phone.port.send(there, phone.flight())
    ice = sdp("a=ice-ufrag:bobs", "a=ice-pwd:bobbobbobbobbobbobbobb")
    call.answer(dtls_sdp(phone.port.address, "active") + ice)
    while phone.port.receive()[0][0] != HANDSHAKE:
        pass


def check(offer: Description, ufrag: str) -> bytes:
    """A connectivity check of the phone (RFC 8445, section 7.2)."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{offer.media.attribute('ice-ufrag')}:{ufrag}"
    request.attributes["PRIORITY"] = 1853817087
    request.attributes["ICE-CONTROLLED"] = 1
    request.add_message_integrity(str(offer.media.attribute("ice-pwd")).encode())
    return bytes(request)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("active", [True, False], ids=["active", "passive"])
def test_a_fifth_of_the_datagrams_may_be_lost(
    daemon: Daemon, call: Dialogue, caller: Phone, active: bool, seed: int
) -> None:
    chance = random.Random(seed)
    before = daemon.metric("icerelay_dtls_handshakes_done_total")
    with DtlsPhone(BOB, active) as phone, Lossy(BOB, phone.port.address) as network:
        there = set_up(call, caller, network.address, "active" if active else "passive")
        network.start(there.callee_side, lambda: chance.random() < 0.2)
        phone.shake(network.inside)
        wait_until(
            lambda: daemon.metric("icerelay_dtls_handshakes_done_total") == before + 1,
            "the relay has keys as well",
            timeout=20.0,
        )
        network.loses = lambda: False
        assert_talk(phone, caller, Call(there.caller_side, network.inside))
