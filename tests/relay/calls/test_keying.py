"""Handshakes of a call: early ones, late results, restarts, overload."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from relay.calls.keying import MAX_EARLY_PEERS
from relay.dtls.handshake import PATIENCE, Handshake, Keys, Output, Role, Send
from relay.dtls.identity import Identity
from relay.forward.rule import Address
from sdp import dtls
from tests.relay.calls.desk import ALICE, BOB, CAROL, IDENTITY, UNIX, Desk, sdp, told

DTLS = "UDP/TLS/RTP/SAVP"
PHONE = Identity.create(UNIX)
OTHER = Identity.create(UNIX)
AT_BOB = (BOB, 20000)


def described(identity: Identity = PHONE, *more: str, setup: str = "active", port: int = 20000) -> str:
    return sdp(
        BOB, port, f"fingerprint:{identity.fingerprint()}", f"setup:{setup}", "rtcp-mux", *more, protocol=DTLS
    )


@dataclass
class Phone:
    """At one address, with one port of the relay."""

    desk: Desk
    port: int
    at: Address = AT_BOB
    handshake: Handshake = field(
        default_factory=lambda: Handshake(PHONE, Role.ACTIVE, [IDENTITY.fingerprint()])
    )
    keys: Keys | None = None
    heard: int = 0

    def start(self) -> None:
        self._take(self.handshake.start(self.desk.now))

    def shake(self) -> Keys | None:
        """Until nobody says anything any more."""
        self.start()
        while self.hear():
            pass
        return self.keys

    def hear(self) -> bool:
        """Take what has been sent here since the last time."""
        sent = [d for port, remote, d in self.desk.box.sent if (port, remote) == (self._handle, self.at)]
        fresh, self.heard = sent[self.heard :], len(sent)
        for datagram in fresh:
            self._take(self.handshake.received(datagram, self.desk.now))
        return bool(fresh)

    @property
    def _handle(self) -> int:
        return next(handle for handle, port in self.desk.box.ports.items() if port.number == self.port)

    def _take(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Keys):
                self.keys = output
            if isinstance(output, Send):
                self.desk.registry.dtls(self._handle, self.at, output.datagram, self.desk.now)


def offered(desk: Desk) -> int:
    """The port that the callee is told."""
    return told(desk.offer(sdp(), transport_protocol=DTLS, rtcp_mux=["offer", "require"]))[1]


def answered(desk: Desk, answer: str = "") -> int:
    port = offered(desk)
    desk.answer(answer or described())
    return port


def keys_in_use(desk: Desk, port: int) -> bytes | None:
    """What the plane opens the callee's packets with."""
    keys = desk.box.rule_at(port).keys
    if keys is None:
        return None
    _, receive, _ = desk.box.keys[keys]
    return receive.key + receive.salt


def test_a_client_hello_before_the_answer_is_played_when_the_answer_is_here() -> None:
    desk = Desk()
    phone = Phone(desk, offered(desk))
    phone.start()
    assert not phone.hear()
    desk.answer(described())
    while phone.hear():
        pass
    assert phone.keys is not None
    assert keys_in_use(desk, phone.port) == phone.keys.local


def test_an_early_client_hello_of_another_address_is_not_played() -> None:
    desk = Desk()
    stranger = Phone(desk, offered(desk), (CAROL, 9))
    stranger.start()
    desk.answer(described())
    assert not stranger.hear()


def test_early_client_hellos_are_forgotten_where_we_are_the_active_end() -> None:
    desk = Desk()
    phone = Phone(desk, offered(desk))
    phone.start()
    desk.answer(described(setup="passive"))
    assert desk.registry.calls["call"].early == {}
    (_, _, ours) = desk.box.sent[-1]
    assert ours[0] == 22


def test_what_is_kept_before_the_answer_is_bounded() -> None:
    desk = Desk()
    port = offered(desk)
    for number in range(100):
        Phone(desk, port, (CAROL, 1000 + number)).start()
    early = desk.registry.calls["call"].early
    assert len(early) == MAX_EARLY_PEERS
    handle = next(iter(early))[0]
    for _ in range(100):
        desk.registry.dtls(handle, (CAROL, 1099), b"\x16\xfe\xfd" + bytes(200), desk.now)
    assert sum(map(len, early.values())) < 20
    assert desk.registry.handshakes.dropped["early"] > 90


def test_the_plane_has_the_keys_before_our_last_flight_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    port = answered(desk)
    keyed = []

    def send(handle: int, remote: Address, datagram: bytes) -> None:
        keyed.append(keys_in_use(desk, port) is not None)
        desk.box.sent.append((handle, remote, datagram))

    monkeypatch.setattr(desk.box, "send", send)
    assert Phone(desk, port).shake() is not None
    assert keyed == [False, True]


def test_keys_of_a_call_that_is_gone_are_dropped() -> None:
    desk = Desk()
    phone = Phone(desk, answered(desk))
    desk.box.idle = True
    phone.start()
    desk.command("delete", call_id="call", delete_delay=0)
    desk.box.idle = False
    desk.registry.computed()
    assert (desk.box.keys, desk.box.sent) == ({}, [])


def test_keys_of_a_peer_that_was_replaced_meanwhile_are_dropped() -> None:
    desk = Desk()
    phone = Phone(desk, answered(desk))
    desk.box.idle = True
    phone.start()
    desk.offer(sdp(), to_tag="B")
    desk.answer(described(OTHER))
    desk.box.idle = False
    desk.registry.computed()
    assert desk.box.sent == []
    assert Phone(desk, phone.port).shake() is None
    assert desk.registry.handshakes.failed["fingerprint"] == 1


def test_datagrams_that_come_while_a_flight_is_computed_are_taken_in_order() -> None:
    desk = Desk()
    phone = Phone(desk, answered(desk))
    desk.box.idle = True
    phone.start()
    phone.start()
    assert len(desk.box.jobs) == 1
    desk.box.idle = False
    desk.registry.computed()
    while phone.hear():
        pass
    assert phone.keys is not None


def test_under_overload_a_client_hello_is_dropped_and_its_repeat_is_not() -> None:
    desk = Desk()
    phone = Phone(desk, answered(desk))
    desk.box.overloaded = True
    phone.start()
    assert desk.registry.handshakes.dropped["overload"] == 1
    desk.box.overloaded = False
    deadline = phone.handshake.deadline
    assert deadline is not None
    desk.now = deadline
    phone._take(phone.handshake.timeout(deadline))
    while phone.hear():
        pass
    assert phone.keys is not None


def test_under_overload_our_own_handshakes_begin_all_the_same() -> None:
    desk = Desk()
    desk.box.overloaded = True
    answered(desk, described(setup="passive"))
    assert len(desk.box.sent) == 1


def test_a_leg_without_keys_is_reported_once() -> None:
    desk = Desk()
    port = answered(desk, described(OTHER))
    for number in range(3):
        desk.now += 2.0
        Phone(desk, port, heard=len(desk.box.sent)).shake()
        assert desk.registry.handshakes.failed["fingerprint"] == number + 1
    (failure,) = desk.registry.handshakes.failures
    assert (failure.call_id, failure.tag, failure.media, failure.reason) == ("call", "B", 0, "fingerprint")


def test_a_peer_that_does_not_answer_is_given_up_and_reported() -> None:
    desk = Desk()
    answered(desk, described(setup="passive"))
    while (due := desk.registry.next_check()) is not None:
        desk.now = due
        desk.registry.check(due)
    assert desk.now == 1000.0 + PATIENCE
    assert 5 < len(desk.box.sent) < 30
    assert [failure.reason for failure in desk.registry.handshakes.failures] == ["timeout"]


def test_datagrams_at_a_leg_without_dtls_are_counted() -> None:
    desk = Desk()
    port = told(desk.offer(sdp()))[1]
    Phone(desk, port).start()
    assert desk.registry.handshakes.dropped["no handshake"] == 1


@pytest.mark.parametrize(
    "again", [described(OTHER), described(PHONE, "tls-id:" + "b" * 20)], ids=["certificate", "tls-id"]
)
def test_a_new_association_takes_over_when_it_has_its_keys(again: str) -> None:
    desk = Desk()
    port = answered(desk, described(PHONE, "tls-id:" + "a" * 20))
    first = Phone(desk, port).shake()
    assert first is not None
    desk.offer(sdp(), to_tag="B")
    desk.answer(again)
    assert keys_in_use(desk, port) == first.local
    desk.now += 2.0
    identity = OTHER if "tls-id" not in again else PHONE
    heard = len(desk.box.sent)
    second = Phone(
        desk, port, handshake=Handshake(identity, Role.ACTIVE, [IDENTITY.fingerprint()]), heard=heard
    ).shake()
    assert second is not None
    assert keys_in_use(desk, port) == second.local != first.local
    assert len(desk.box.keys) == 1


def test_a_peer_that_begins_another_association_before_its_answer_keeps_those_keys() -> None:
    desk = Desk()
    port = answered(desk, described(PHONE, "tls-id:" + "a" * 20))
    assert Phone(desk, port).shake() is not None
    desk.now += 2.0
    desk.offer(sdp(), to_tag="B")
    second = Phone(desk, port, heard=len(desk.box.sent)).shake()
    assert second is not None
    desk.answer(described(PHONE, "tls-id:" + "b" * 20))
    assert keys_in_use(desk, port) == second.local


def test_we_begin_another_association_where_we_are_the_active_end() -> None:
    desk = Desk()
    answered(desk, described(PHONE, "tls-id:" + "a" * 20, setup="passive"))
    desk.offer(sdp(), to_tag="B")
    before = len(desk.box.sent)
    desk.answer(described(PHONE, "tls-id:" + "b" * 20, setup="passive"))
    assert len(desk.box.sent) == before + 1


def test_the_old_keys_go_when_the_new_peer_is_not_who_the_description_says() -> None:
    desk = Desk()
    port = answered(desk)
    assert Phone(desk, port).shake() is not None
    desk.offer(sdp(), to_tag="B")
    desk.answer(described(OTHER))
    Phone(desk, port, heard=len(desk.box.sent)).shake()
    assert (keys_in_use(desk, port), desk.box.keys) == (None, {})


def test_the_old_keys_go_at_once_when_another_phone_at_another_address_answers() -> None:
    desk = Desk()
    port = answered(desk)
    assert Phone(desk, port).shake() is not None
    desk.offer(sdp(), to_tag="B")
    desk.answer(described(OTHER, port=20002))
    assert keys_in_use(desk, port) is None


@pytest.mark.parametrize("again", [described(), described(PHONE, "tls-id:" + "a" * 20)])
def test_the_same_certificate_means_the_same_association(again: str) -> None:
    desk = Desk()
    port = answered(desk)
    keys = Phone(desk, port).shake()
    assert keys is not None
    desk.offer(sdp(), to_tag="B")
    desk.answer(again)
    assert keys_in_use(desk, port) == keys.local
    assert len(desk.box.keys) == 1


def test_our_offers_name_the_association_and_keep_the_name() -> None:
    desk = Desk()
    first = desk.offer(sdp(), transport_protocol=DTLS)
    desk.answer(described())
    again = desk.offer(sdp(), to_tag="B")
    name = dtls.read(first, first.medias[0]).tls_id
    assert name is not None
    assert 20 <= len(name) <= 255
    assert dtls.read(again, again.medias[0]).tls_id == name


def caller(*more: str) -> str:
    return sdp(ALICE, 10000, f"fingerprint:{PHONE.fingerprint()}", "setup:actpass", *more, protocol=DTLS)


def test_our_answers_name_the_association_if_the_offer_did() -> None:
    names = []
    for offer in (caller(), caller("tls-id:" + "a" * 20)):
        desk = Desk()
        desk.offer(offer, transport_protocol="RTP/AVP")
        answer = desk.answer(sdp(BOB))
        names.append(dtls.read(answer, answer.medias[0]).tls_id)
    assert names[0] is None
    assert names[1] is not None


def test_a_caller_that_wants_another_association_gets_another_name() -> None:
    desk = Desk()
    names = []
    for letter in "aab":
        desk.offer(caller("tls-id:" + letter * 20), transport_protocol="RTP/AVP")
        answer = desk.answer(sdp(BOB))
        names.append(dtls.read(answer, answer.medias[0]).tls_id)
    assert names[0] == names[1] != names[2]


def test_a_proxy_can_do_without_the_name() -> None:
    offer = Desk().offer(sdp(), transport_protocol=DTLS, flags=["no-tls-id"])
    assert dtls.read(offer, offer.medias[0]).tls_id is None
