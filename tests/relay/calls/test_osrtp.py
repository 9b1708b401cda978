"""Opportunistic SRTP: keys beside a plain profile, and the answer decides (RFC 8643)."""

from __future__ import annotations

import pytest

from relay.dtls.identity import Identity
from sdp import crypto, dtls
from sdp.crypto import Crypto
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, UNIX, Desk, sdp, told

PHONE = Identity.create(UNIX)
LINE = Crypto(7, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
SDES = (f"crypto:{LINE}",)
DTLS = (f"fingerprint:{PHONE.fingerprint()}", "setup:actpass")
BOTH = (*SDES, *DTLS)


def lines(session: Session) -> tuple[Crypto, ...]:
    return crypto.read(session.medias[0])


def has_dtls(session: Session) -> bool:
    return dtls.read(session, session.medias[0]).offered


def taking(offer: Session) -> str:
    """The answer of a phone that takes the first line, under the same plain profile."""
    first = lines(offer)[0]
    return sdp(BOB, 20000, f"crypto:{Crypto(first.tag, first.suite, bytes(len(first.key)))}")


def keyed(desk: Desk, session: Session) -> bool:
    rule = desk.box.rule_at(told(session)[1])
    assert rule.keys is not None or not rule.dtls
    return rule.keys is not None


@pytest.mark.parametrize(
    ("words", "protocol", "told_protocol", "with_sdes", "with_dtls"),
    [
        ({}, None, "RTP/AVP", True, True),
        ({}, "RTP/AVPF", "RTP/AVPF", True, True),
        ({}, "RTP/SAVPF", "RTP/AVPF", True, True),
        ({"DTLS": "off"}, None, "RTP/AVP", True, False),
        ({"SDES": ["off"]}, None, "RTP/AVP", False, True),
    ],
)
def test_a_plain_caller_is_offered_on_with_keys_beside_a_plain_profile(
    words: dict[str, str], protocol: str | None, told_protocol: str, with_sdes: bool, with_dtls: bool
) -> None:
    options = {"transport_protocol": protocol} if protocol else {}
    offer = Desk().offer(sdp(), OSRTP=["offer"], **words, **options)
    assert offer.medias[0].protocol == told_protocol
    assert (bool(lines(offer)), has_dtls(offer)) == (with_sdes, with_dtls)


def test_a_callee_that_takes_a_key_has_srtp_and_the_caller_stays_plain() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), OSRTP=["offer"])
    answer = desk.answer(taking(offer))
    assert (keyed(desk, offer), keyed(desk, answer)) == (True, False)
    assert lines(answer) == ()
    assert answer.medias[0].protocol == "RTP/AVP"


def test_a_callee_that_takes_none_has_plain_rtp() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), OSRTP=["offer"])
    answer = desk.answer(sdp(BOB, 20000))
    assert (keyed(desk, offer), keyed(desk, answer)) == (False, False)


def test_two_opportunistic_phones_keep_their_own_keys() -> None:
    desk = Desk()
    offer = desk.offer(sdp(ALICE, 10000, *SDES))
    answer = desk.answer(taking(offer))
    assert lines(offer) == (LINE,)
    assert len(lines(answer)) == 1
    assert desk.box.keys == {}


@pytest.mark.parametrize("keys", [DTLS, BOTH])
def test_keys_that_cannot_pass_are_offered_anew(keys: tuple[str, ...]) -> None:
    desk = Desk()
    offer = desk.offer(sdp(ALICE, 10000, *keys))
    assert offer.medias[0].protocol == "RTP/AVP"
    assert LINE.key not in {line.key for line in lines(offer)}
    assert has_dtls(offer)
    answer = desk.answer(taking(offer))
    assert keyed(desk, offer)
    assert has_dtls(answer)


@pytest.mark.parametrize(
    ("in_offer", "in_answer", "accepted"),
    [([], [], False), (["accept"], [], True), ([], ["accept-RFC"], True), (["offer"], [], False)],
)
@pytest.mark.parametrize("keys", [SDES, DTLS])
def test_the_callers_keys_are_accepted_beside_a_plain_callee_if_the_words_say_so(
    keys: tuple[str, ...], in_offer: list[str], in_answer: list[str], accepted: bool
) -> None:
    desk = Desk()
    desk.offer(sdp(ALICE, 10000, *keys), OSRTP=in_offer, flags=["recrypt"])
    answer = desk.answer(sdp(BOB, 20000), OSRTP=in_answer)
    assert answer.medias[0].protocol == "RTP/AVP"
    assert bool(lines(answer)) == (accepted and keys is SDES)
    assert has_dtls(answer) == (accepted and keys is DTLS)
    rule = desk.box.rule_at(told(answer)[1])
    assert (rule.keys is not None or rule.dtls) == accepted


def test_the_callers_keys_are_accepted_if_the_callee_speaks_srtp() -> None:
    desk = Desk()
    offer = desk.offer(sdp(ALICE, 10000, *SDES), transport_protocol="RTP/SAVP", DTLS="off")
    first = lines(offer)[0]
    theirs = Crypto(first.tag, first.suite, bytes(len(first.key)))
    answer = desk.answer(sdp(BOB, 20000, f"crypto:{theirs}", protocol="RTP/SAVP"))
    assert (keyed(desk, offer), keyed(desk, answer)) == (True, True)
    assert [line.tag for line in lines(answer)] == [LINE.tag]


def test_a_plain_leg_that_was_asked_for_has_no_keys() -> None:
    offer = Desk().offer(sdp(ALICE, 10000, *SDES), transport_protocol="RTP/AVP")
    assert lines(offer) == ()


def test_a_reoffer_goes_on_with_what_was_agreed() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), OSRTP=["offer"])
    desk.answer(taking(offer))
    before = dict(desk.box.keys)
    again = desk.offer(sdp(), to_tag="B")
    assert lines(again) == lines(offer)
    desk.answer(taking(again))
    assert desk.box.keys == before


def test_the_callee_offers_again_and_the_callers_keys_stay() -> None:
    desk = Desk()
    desk.offer(sdp(ALICE, 10000, *SDES), OSRTP=["accept"])
    (ours,) = lines(desk.answer(sdp(BOB, 20000)))
    before = dict(desk.box.keys)
    offer = desk.offer(sdp(BOB, 20000), from_tag="B", to_tag="A")
    assert lines(offer) == (ours,)
    desk.answer(sdp(ALICE, 10000, *SDES), from_tag="B", to_tag="A")
    assert desk.box.keys == before
