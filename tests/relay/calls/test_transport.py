"""Every profile towards every profile: keys, feedback and the rules that follow (RFC 3711, RFC 4585)."""

from __future__ import annotations

import itertools

import pytest

from relay.dtls.identity import Identity
from sdp import crypto, dtls
from sdp.crypto import Crypto
from sdp.protocol import Profile
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, UNIX, Desk, sdp, told

PHONE = Identity.create(UNIX)
PROTOCOLS = ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
FEEDBACK = ("rtcp-fb:0 nack", "rtcp-fb:* ccm fir", "rtcp-rsize")


def profile(protocol: str) -> Profile:
    found = Profile.of(protocol)
    assert found is not None
    return found


def description(protocol: str, host: str, port: int, setup: str, line: Crypto) -> str:
    """A phone that says what its profile has room for."""
    said = list(FEEDBACK) if profile(protocol).feedback else []
    if profile(protocol).dtls:
        said += [f"fingerprint:{PHONE.fingerprint()}", f"setup:{setup}"]
    elif profile(protocol).secure:
        said += [f"crypto:{line}"]
    return sdp(host, port, *said, protocol=protocol)


def assert_speaks(session: Session, protocol: str, feedback_possible: bool) -> None:
    """What we wrote has the keys of its profile, and no feedback that it has no room for."""
    media = session.medias[0]
    assert media.protocol == protocol
    wanted = profile(protocol)
    assert bool(crypto.read(media)) == (wanted.secure and not wanted.dtls)
    assert dtls.read(session, media).offered or not wanted.dtls
    assert wanted.secure or not dtls.read(session, media).offered
    shown = any(media.attribute(name) is not None for name in ("rtcp-fb", "rtcp-rsize"))
    assert shown == (wanted.feedback and feedback_possible)


@pytest.mark.parametrize(("one", "other"), list(itertools.product(PROTOCOLS, PROTOCOLS)))
def test_every_profile_is_bridged_to_every_other(one: str, other: str) -> None:
    desk = Desk()
    alice = Crypto(5, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
    offer = desk.offer(
        description(one, ALICE, 10000, "actpass", alice), transport_protocol=other, flags=["recrypt"]
    )
    assert_speaks(offer, other, profile(one).feedback)
    first = next(iter(crypto.read(offer.medias[0])), alice)
    bob = Crypto(first.tag, first.suite, bytes(len(first.key)))
    answer = desk.answer(description(other, BOB, 20000, "active", bob))
    assert_speaks(answer, one, profile(other).feedback)

    for session, ours, theirs in ((answer, one, other), (offer, other, one)):
        rule = desk.box.rule_at(told(session)[1])
        assert rule.plain_rtcp == (profile(theirs).feedback and not profile(ours).feedback)
        assert (rule.keys is not None) == (profile(ours).secure and not profile(ours).dtls)
        assert rule.dtls == profile(ours).dtls


def test_srtp_that_passes_as_it_is_is_not_searched_for_feedback() -> None:
    desk = Desk()
    line = Crypto(5, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
    offer = desk.offer(description("RTP/SAVPF", ALICE, 10000, "", line))
    answer = desk.answer(description("RTP/SAVP", BOB, 20000, "", line))
    assert not any(desk.box.rule_at(told(session)[1]).plain_rtcp for session in (offer, answer))


def test_two_plain_phones_may_exchange_what_their_profile_lacks() -> None:
    desk = Desk()
    offer = desk.offer(sdp(ALICE, 10000, *FEEDBACK))
    answer = desk.answer(sdp(BOB, 20000, *FEEDBACK))
    for session in (offer, answer):
        assert session.medias[0].attribute("rtcp-fb") is not None
        assert not desk.box.rule_at(told(session)[1]).plain_rtcp


@pytest.mark.parametrize(
    ("offered", "asked", "answered"),
    [
        ("RTP/AVP", "RTP/AVPF", "RTP/AVPF"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "RTP/SAVPF"),
        ("RTP/AVP", "RTP/SAVP", "RTP/AVP"),
        ("RTP/SAVP", "UDP/TLS/RTP/SAVP", "RTP/SAVP"),
        ("RTP/SAVP", "RTP/AVP", "RTP/SAVP"),
    ],
)
def test_the_answer_changes_the_protocol_as_far_as_the_keys_allow(
    offered: str, asked: str, answered: str
) -> None:
    desk = Desk()
    line = Crypto(5, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
    desk.offer(description(offered, ALICE, 10000, "actpass", line), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB), transport_protocol=asked)
    assert answer.medias[0].protocol == answered


def test_a_leg_with_sdes_is_offered_dtls_when_its_protocol_changes() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol="RTP/SAVP", DTLS="off")
    first = crypto.read(offer.medias[0])[0]
    line = Crypto(first.tag, first.suite, bytes(len(first.key)))
    desk.answer(description("RTP/SAVP", BOB, 20000, "", line))
    again = desk.offer(sdp(), to_tag="B", transport_protocol="UDP/TLS/RTP/SAVP")
    assert_speaks(again, "UDP/TLS/RTP/SAVP", False)
