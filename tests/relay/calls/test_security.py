from __future__ import annotations

import pytest

from relay.calls.state import Leg
from relay.dtls.fingerprint import Fingerprint
from relay.dtls.handshake import Handshake, Keys, Role, Send
from relay.dtls.identity import Identity
from sdp import crypto, dtls
from sdp.crypto import Crypto
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, CAROL, ICE, IDENTITY, UNIX, Desk, sdp, told

PHONE = Identity.create(UNIX)
STRANGER = Identity.create(UNIX)
SAVP, DTLS = "RTP/SAVP", "UDP/TLS/RTP/SAVP"
KEY = Crypto(7, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
WEAK = Crypto(3, "AES_CM_128_HMAC_SHA1_32", bytes(range(30)))


def with_dtls(host: str = ALICE, port: int = 10000, setup: str = "actpass", *more: str) -> str:
    return sdp(host, port, f"fingerprint:{PHONE.fingerprint()}", f"setup:{setup}", *more, protocol=DTLS)


def with_sdes(host: str = ALICE, port: int = 10000, *lines: Crypto) -> str:
    return sdp(host, port, *(f"crypto:{line}" for line in lines or (KEY,)), protocol=SAVP)


def protocol(session: Session) -> str:
    return session.medias[0].protocol


def keys(session: Session) -> dtls.DtlsDescription:
    return dtls.read(session, session.medias[0])


def lines(session: Session) -> tuple[Crypto, ...]:
    return crypto.read(session.medias[0])


def leg(desk: Desk, tag: str) -> Leg:
    found = desk.registry.calls["call"].leg_of(tag)
    assert found is not None
    return found


def test_a_webrtc_caller_is_offered_on_as_plain_rtp_without_a_word_of_keys() -> None:
    offer = Desk().offer(with_dtls(), transport_protocol="RTP/AVP")
    assert protocol(offer) == "RTP/AVP"
    assert not keys(offer).offered
    assert "setup" not in str(offer)


def test_the_caller_is_answered_in_its_own_protocol_with_our_certificate() -> None:
    desk = Desk()
    desk.offer(with_dtls(), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB))
    assert protocol(answer) == DTLS
    assert str(keys(answer).fingerprints[0]) == str(IDENTITY.fingerprint())
    assert keys(answer).setup == "active"


@pytest.mark.parametrize(
    ("offered", "options", "answered"),
    [
        ("active", {}, "passive"),
        ("passive", {}, "active"),
        ("actpass", {}, "active"),
        ("actpass", {"DTLS-reverse": "passive"}, "passive"),
        ("actpass", {"DTLS": "passive"}, "passive"),
    ],
)
def test_our_role_towards_the_caller(offered: str, options: dict[str, str], answered: str) -> None:
    desk = Desk()
    desk.command(
        "offer",
        sdp=with_dtls(setup=offered),
        call_id="call",
        from_tag="A",
        transport_protocol="RTP/AVP",
        **options,
    )
    assert keys(desk.answer(sdp(BOB))).setup == answered


def test_a_plain_caller_is_offered_on_with_dtls_and_never_with_crypto_beside_it() -> None:
    offer = Desk().offer(sdp(), transport_protocol="UDP/TLS/RTP/SAVPF")
    assert protocol(offer) == "UDP/TLS/RTP/SAVPF"
    assert keys(offer).setup == "actpass"
    assert lines(offer) == ()


def test_the_hash_of_our_fingerprint_is_the_peers_own_or_what_was_asked_for() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=DTLS, DTLS_fingerprint="sha-1")
    assert keys(offer).fingerprints[0].hash == "sha-1"


def test_sdes_is_offered_with_all_suites_that_encrypt() -> None:
    offer = Desk().offer(sdp(), transport_protocol=SAVP)
    suites = [line.suite for line in lines(offer)]
    assert suites[0] == "AEAD_AES_256_GCM"
    assert not any(suite.startswith(("NULL", "F8")) for suite in suites)
    assert len({line.key for line in lines(offer)}) == len(suites)


@pytest.mark.parametrize(
    ("words", "suites"),
    [
        (["only-AES_CM_128_HMAC_SHA1_80"], ["AES_CM_128_HMAC_SHA1_80"]),
        (["off"], []),
    ],
)
def test_the_words_of_sdes_choose_suites(words: list[str], suites: list[str]) -> None:
    offer = Desk().offer(sdp(), transport_protocol=SAVP, SDES=words)
    assert [line.suite for line in lines(offer)] == suites


def test_sdes_words_can_refuse_a_suite() -> None:
    offer = Desk().offer(sdp(), transport_protocol=SAVP, SDES=["no-AEAD_AES_256_GCM"])
    assert "AEAD_AES_256_GCM" not in {line.suite for line in lines(offer)}
    assert len(lines(offer)) > 3


def test_an_sdes_caller_gets_one_line_with_its_own_tag_and_suite() -> None:
    desk = Desk()
    desk.offer(with_sdes(ALICE, 10000, KEY, WEAK), transport_protocol="RTP/AVP")
    (line,) = lines(desk.answer(sdp(BOB)))
    assert (line.tag, line.suite) == (KEY.tag, KEY.suite)
    assert line.key != KEY.key


def test_the_plane_opens_with_the_peers_key_and_protects_with_ours() -> None:
    desk = Desk()
    desk.offer(with_sdes(), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB))
    rule = desk.box.rule_at(told(answer)[1])
    assert rule.keys is not None
    profile, receive, send = desk.box.keys[rule.keys]
    assert profile.name == KEY.suite
    assert receive.key + receive.salt == KEY.key
    assert send.key + send.salt == lines(answer)[0].key


def test_the_callee_chooses_among_our_lines() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=SAVP, DTLS="off")
    ours = lines(offer)[2]
    theirs = Crypto(ours.tag, ours.suite, bytes(len(ours.key)))
    desk.answer(with_sdes(BOB, 20000, theirs))
    rule = desk.box.rule_at(told(offer)[1])
    assert rule.keys is not None
    _, receive, send = desk.box.keys[rule.keys]
    assert (receive.key + receive.salt, send.key + send.salt) == (theirs.key, ours.key)


def test_keys_go_with_the_call() -> None:
    desk = Desk()
    desk.offer(with_sdes(), transport_protocol="RTP/AVP")
    desk.answer(sdp(BOB))
    assert desk.box.keys
    desk.command("delete", call_id="call", delete_delay=0)
    assert desk.box.keys == {}


def test_two_sdes_phones_keep_their_own_keys_and_media_passes_untouched() -> None:
    desk = Desk()
    offer = desk.offer(with_sdes())
    answer = desk.answer(with_sdes(BOB, 20000))
    assert lines(offer) == lines(answer) == (KEY,)
    assert desk.box.keys == {}


def test_a_reoffer_keeps_keys_and_certificate() -> None:
    desk = Desk()
    desk.offer(with_sdes(), transport_protocol="RTP/AVP")
    first = desk.answer(sdp(BOB))
    opened = dict(desk.box.keys)
    desk.offer(with_sdes(), to_tag="B")
    assert lines(desk.answer(sdp(BOB))) == lines(first)
    assert desk.box.keys == opened


def opened_with(desk: Desk, port: int) -> bytes:
    """The key that the plane opens with at this port."""
    keys = desk.box.rule_at(port).keys
    assert keys is not None
    receive = desk.box.keys[keys][1]
    return receive.key + receive.salt


NEW_KEY = Crypto(KEY.tag, KEY.suite, bytes(range(100, 130)))


def test_a_caller_with_a_new_key_is_heard_with_the_old_one_until_the_answer() -> None:
    desk = Desk()
    desk.offer(with_sdes(), transport_protocol="RTP/AVP")
    port = told(desk.answer(sdp(BOB)))[1]
    desk.offer(with_sdes(ALICE, 10000, NEW_KEY), to_tag="B")
    assert opened_with(desk, port) == KEY.key
    answer = desk.answer(sdp(BOB))
    assert opened_with(desk, port) == NEW_KEY.key
    assert lines(answer)[0].key != KEY.key


def test_a_callee_with_a_new_key_is_heard_with_it_and_our_own_key_goes_on() -> None:
    desk = Desk()
    ours = lines(desk.offer(sdp(), transport_protocol=SAVP, DTLS="off"))[2]
    theirs = Crypto(ours.tag, ours.suite, bytes(len(ours.key)))
    desk.answer(with_sdes(BOB, 20000, theirs))
    again = desk.offer(sdp(), to_tag="B")
    new = Crypto(ours.tag, ours.suite, bytes([1]) * len(ours.key))
    desk.answer(with_sdes(BOB, 20000, new))
    port = told(again)[1]
    rule = desk.box.rule_at(port)
    assert rule.keys is not None
    _, receive, send = desk.box.keys[rule.keys]
    assert (receive.key + receive.salt, send.key + send.salt) == (new.key, ours.key)
    assert desk.box.replaced[rule.keys] is not None


def shake_hands(desk: Desk, port: int, at: tuple[str, int], phone: Handshake) -> Keys | None:
    """Carry datagrams between a phone and the relay until both are done. Returns the phone's keys."""
    handle = next(h for h, bound in desk.box.ports.items() if bound.number == port)
    found: Keys | None = None
    sent = [datagram for to, remote, datagram in desk.box.sent if (to, remote) == (handle, at)]
    outputs = phone.start(desk.now)
    for datagram in sent:
        outputs += phone.received(datagram, desk.now)
    while outputs:
        before = len(desk.box.sent)
        for output in outputs:
            if isinstance(output, Keys):
                found = output
            if isinstance(output, Send):
                desk.registry.dtls(handle, at, output.datagram, desk.now)
        outputs = []
        for to, remote, datagram in desk.box.sent[before:]:
            if (to, remote) == (handle, at):
                outputs += phone.received(datagram, desk.now)
    return found


@pytest.mark.parametrize(("setup", "role"), [("active", Role.ACTIVE), ("passive", Role.PASSIVE)])
def test_a_handshake_with_the_callee_gives_the_plane_its_keys(setup: str, role: Role) -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=DTLS)
    desk.answer(with_dtls(BOB, 20000, setup))
    phone = Handshake(PHONE, role, [IDENTITY.fingerprint()])
    keys = shake_hands(desk, told(offer)[1], (BOB, 20000), phone)
    assert keys is not None
    rule = desk.box.rule_at(told(offer)[1])
    assert rule.keys is not None
    _, receive, send = desk.box.keys[rule.keys]
    assert (receive.key + receive.salt, send.key + send.salt) == (keys.local, keys.remote)


def test_a_callee_with_another_certificate_gets_no_keys() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=DTLS)
    desk.answer(with_dtls(BOB, 20000, "active"))
    phone = Handshake(STRANGER, Role.ACTIVE, [IDENTITY.fingerprint()])
    shake_hands(desk, told(offer)[1], (BOB, 20000), phone)
    assert desk.box.rule_at(told(offer)[1]).keys is None
    assert desk.registry.handshakes.failed["fingerprint"] == 1


def test_before_the_keys_a_dtls_leg_passes_nothing() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=DTLS)
    desk.answer(with_dtls(BOB, 20000, "active"))
    rule = desk.box.rule_at(told(offer)[1])
    assert (rule.dtls, rule.keys) == (True, None)


def test_our_certificate_is_told_as_the_callee_will_see_it() -> None:
    offer = Desk().offer(sdp(), transport_protocol=DTLS)
    said = Fingerprint.parse(str(keys(offer).fingerprints[0]))
    assert said == Fingerprint.of(IDENTITY.certificate)


def test_the_answer_to_the_caller_bears_the_callers_mid() -> None:
    desk = Desk()
    desk.offer(with_dtls(ALICE, 10000, "actpass", "mid:audio0"), transport_protocol="RTP/AVP")
    assert desk.answer(sdp(BOB, 20000, "mid:7")).medias[0].attributes("mid") == ["audio0"]


def rejected(text: str) -> str:
    """The description with port 0."""
    return text.replace("m=audio 10000", "m=audio 0").replace("m=audio 20000", "m=audio 0")


def keyed_with_sdes(desk: Desk) -> None:
    """Alice has SDES, Bob is plain."""
    desk.offer(with_sdes(ALICE, 10000, SDES_LINE), transport_protocol="RTP/AVP")
    desk.answer(sdp(BOB, 20000))


SDES_LINE = Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes(30))


def test_a_media_that_was_rejected_in_mid_call_gets_keys_anew_when_it_comes_back() -> None:
    desk = Desk()
    keyed_with_sdes(desk)
    desk.offer(rejected(with_sdes(ALICE, 10000, SDES_LINE)), to_tag="B")
    desk.answer(rejected(sdp(BOB, 20000)))
    desk.tick(31)
    assert desk.box.keys == {}
    keyed_with_sdes(desk)
    assert {rule.keys for rule in desk.box.rules.values()} == {None, *desk.box.keys}


def test_rtcp_whose_port_went_and_came_back_has_keys_again() -> None:
    desk = Desk()
    for mux in ((), ("rtcp-mux",), ()):
        offer = sdp(ALICE, 10000, f"crypto:{SDES_LINE}", *mux, protocol="RTP/SAVP")
        desk.offer(offer, transport_protocol="RTP/AVP", rtcp_mux=["accept"])
        desk.answer(sdp(BOB, 20000))
        desk.tick(31)
        assert {rule.keys for rule in desk.box.rules.values()} == {None, *desk.box.keys}


def test_a_phone_that_rejects_first_and_then_accepts_is_held_to_what_it_was_offered() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol="UDP/TLS/RTP/SAVPF", ICE="force")
    accepting = with_dtls(BOB, 20000, "active", *ICE)
    desk.answer(rejected(accepting))
    desk.answer(accepting)
    rule = desk.box.rule_at(offer.medias[0].port)
    assert rule.dtls
    assert rule.stun


def test_an_answer_so_late_that_its_promises_are_forgotten_passes_no_media_in_the_clear() -> None:
    desk = Desk()
    desk.offer(sdp(), transport_protocol="UDP/TLS/RTP/SAVPF")
    desk.answer(with_dtls(BOB, 20000, "active"))
    desk.tick(31)
    desk.answer(with_dtls(CAROL, 20000, "active"), to_tag="C")
    late = [rule for rule in desk.box.rules.values() if rule.remote == (CAROL, 20000)]
    assert [rule.dtls for rule in late] == [True]


def test_a_callee_that_was_offered_dtls_in_vain_is_still_answered_by_sdes() -> None:
    desk = Desk()
    keyed_with_sdes(desk)
    desk.offer(sdp(BOB, 20000), from_tag="B", to_tag="A", transport_protocol="UDP/TLS/RTP/SAVP")
    desk.offer(with_sdes(ALICE, 10000, SDES_LINE), to_tag="B")
    answer = desk.answer(sdp(BOB, 20000))
    assert [line.suite for line in lines(answer)] == [SDES_LINE.suite]
    assert keys(answer).fingerprints == ()


def test_a_callee_that_was_offered_sdes_in_vain_is_answered_by_dtls_alone() -> None:
    desk = Desk()
    desk.offer(sdp())
    desk.answer(sdp(BOB, 20000))
    desk.offer(sdp(BOB, 20000), from_tag="B", to_tag="A", transport_protocol="RTP/SAVP")
    desk.offer(with_dtls(), to_tag="B", transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB, 20000))
    assert lines(answer) == ()
    assert keys(answer).fingerprints


def test_an_answer_that_accepts_what_was_rejected_brings_back_no_old_promise_of_keys() -> None:
    desk = Desk()
    desk.offer(with_dtls(), transport_protocol="RTP/SAVP")
    desk.answer(with_dtls(CAROL, 20000, "active"), to_tag="C")
    desk.offer(rejected(with_dtls(BOB, 20000)), from_tag="B", to_tag="A")
    answer = desk.answer(with_dtls(ALICE, 10000, "active"), to_tag="A", from_tag="B")
    assert protocol(answer) == DTLS
    assert lines(answer) == ()
