"""T.38 in the place of audio, and audio again: RTP goes on until the answer; what is not RTP has no keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.calls.state import Media
from relay.forward.fake import check
from relay.forward.rule import Change, Drop, Rule
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, CAROL, ICE, Box, Desk, sdp

SDES = f"crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"
SECURE = sdp(ALICE, 10000, SDES, protocol="RTP/SAVP")
BROWSER = sdp(
    ALICE,
    10000,
    *ICE,
    "rtcp-mux",
    "mid:0",
    "setup:actpass",
    f"fingerprint:sha-256 {':'.join(['AB'] * 32)}",
    protocol="UDP/TLS/RTP/SAVPF",
)


def fax(host: str, port: int = 10000) -> str:
    return sdp(host, port).replace("RTP/AVP 0", "udptl t38").replace("m=audio", "m=image")


class Plane(Box):
    """Takes what a plane takes."""

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if not isinstance(change, Drop):
                check(change)
        super().apply(changes)


def desk() -> Desk:
    new = Desk()
    new.box = new.registry.resources = Plane()
    return new


def secure_caller() -> Desk:
    """A phone with keys in its SDP, and a gateway without."""
    new = desk()
    new.offer(SECURE, transport_protocol="RTP/AVP")
    new.answer(sdp(BOB, 20000))
    return new


def media_of(new: Desk, tag: str) -> Media:
    leg = new.registry.calls["call"].leg_of(tag)
    assert leg is not None
    return leg.medias[0]


def rules_of(new: Desk) -> dict[int, Rule]:
    """By rule id, without what is learnt from where."""
    return {id: replace(rule, generation=0, described=0, hint=None) for id, rule in new.box.rules.items()}


def line(session: Session) -> tuple[str, str]:
    return session.medias[0].kind, session.medias[0].protocol


def test_a_gateway_turns_a_call_of_an_srtp_phone_to_t38_which_nobody_encrypts() -> None:
    new = secure_caller()
    offered = new.offer(fax(BOB, 20000), from_tag="B", to_tag="A")
    answered = new.answer(fax(ALICE), from_tag="B", to_tag="A")
    assert line(offered) == line(answered) == ("image", "udptl")
    assert offered.medias[0].attribute("crypto") is None
    assert all(rule.opaque and rule.keys is None for rule in new.box.rules.values())
    assert (len(new.box.rules), new.box.keys) == (2, {})


def test_an_srtp_phone_turns_its_call_to_t38() -> None:
    new = secure_caller()
    new.offer(fax(ALICE), to_tag="B")
    assert line(new.answer(fax(BOB, 20000))) == ("image", "udptl")
    assert all(rule.opaque for rule in new.box.rules.values())


def test_a_call_between_two_srtp_phones_turns_to_t38() -> None:
    new = desk()
    told = new.offer(SECURE, transport_protocol="RTP/SAVP", SDES=["pad"]).medias[0].attribute("crypto")
    assert told is not None
    own = f"crypto:{' '.join(told.split()[:2])} inline:{'B' * 40}"
    new.answer(sdp(BOB, 20000, own, protocol="RTP/SAVP"))
    new.offer(fax(BOB, 20000), from_tag="B", to_tag="A")
    new.answer(fax(ALICE), from_tag="B", to_tag="A")
    assert all(rule.opaque for rule in new.box.rules.values())
    assert new.box.keys == {}


def test_audio_goes_on_with_its_keys_and_ports_while_t38_is_offered_and_after_it_was_refused() -> None:
    new = secure_caller()
    before = rules_of(new)
    new.offer(fax(BOB, 20002), from_tag="B", to_tag="A")  # answered by a 488, of which nobody tells us
    new.tick(31)
    assert rules_of(new) == before
    again = new.offer(sdp(BOB, 20000), from_tag="B", to_tag="A")
    assert line(again) == ("audio", "RTP/SAVP")
    new.answer(SECURE, from_tag="B", to_tag="A")
    assert rules_of(new) == before


def test_a_phone_that_refuses_t38_by_port_zero_has_no_media_any_more() -> None:
    new = secure_caller()
    new.offer(fax(BOB, 20000), from_tag="B", to_tag="A")
    answer = new.answer(fax(ALICE, 0), from_tag="B", to_tag="A")
    assert answer.medias[0].port == 0
    new.tick(31)
    assert (new.box.rules, new.box.ports, new.box.keys) == ({}, {}, {})


def test_t38_goes_where_its_offer_and_its_answer_say() -> None:
    new = secure_caller()
    new.offer(fax(BOB, 20002), from_tag="B", to_tag="A")
    new.answer(fax(ALICE, 10002), from_tag="B", to_tag="A")
    remotes = {new.box.rules[media_of(new, tag).streams[0].paths[0].rule].remote for tag in "AB"}
    assert remotes == {(BOB, 20002), (ALICE, 10002)}


def test_after_the_fax_audio_is_offered_as_audio_also_without_transport_protocol() -> None:
    new = desk()
    new.offer(sdp(ALICE))
    new.answer(sdp(BOB, 20000))
    new.offer(fax(BOB, 20000), from_tag="B", to_tag="A")
    new.answer(fax(ALICE), from_tag="B", to_tag="A")
    offered = new.offer(sdp(BOB, 20000), from_tag="B", to_tag="A")
    answered = new.answer(sdp(ALICE), from_tag="B", to_tag="A")
    assert line(offered) == line(answered) == ("audio", "RTP/AVP")
    assert len(new.box.rules) == 4, "RTP and RTCP of two legs"
    assert not any(rule.opaque for rule in new.box.rules.values())


def test_after_the_fax_an_srtp_phone_has_encrypted_audio_again() -> None:
    new = secure_caller()
    new.offer(fax(ALICE), to_tag="B")
    new.answer(fax(BOB, 20000))
    assert line(new.offer(SECURE, to_tag="B", transport_protocol="RTP/AVP")) == ("audio", "RTP/AVP")
    new.answer(sdp(BOB, 20000))
    phone, gateway = (new.box.rules[media_of(new, tag).streams[0].paths[0].rule] for tag in "AB")
    assert phone.keys in new.box.keys
    assert gateway.keys is None


def test_a_call_that_begins_as_a_fax_turns_to_encrypted_audio() -> None:
    new = desk()
    assert line(new.offer(fax(ALICE), transport_protocol="RTP/AVP")) == ("image", "udptl")
    new.answer(fax(BOB, 20000))
    assert line(new.offer(SECURE, to_tag="B")) == ("audio", "RTP/SAVP")
    answer = new.answer(sdp(BOB, 20000, SDES, protocol="RTP/SAVP"))
    assert line(answer) == ("audio", "RTP/SAVP")
    assert not any(rule.opaque for rule in new.box.rules.values())


def test_audio_to_come_is_locked_from_its_offer_until_there_are_keys() -> None:
    new = desk()
    new.offer(fax(ALICE))
    new.answer(fax(BOB, 20000))
    new.offer(SECURE, to_tag="B", transport_protocol="RTP/AVP")
    assert new.box.rules[media_of(new, "A").streams[0].paths[0].rule].dtls


@pytest.mark.parametrize("ice", ["force", "remove"])
def test_a_browser_that_refuses_the_fax_of_a_gateway_keeps_its_ice_and_its_handshake(ice: str) -> None:
    new = desk()
    new.offer(BROWSER, ICE="remove", transport_protocol="RTP/AVP", rtcp_mux=["demux"])
    new.answer(sdp(BOB, 20000))
    media = media_of(new, "A")
    assert media.security is not None
    before, agent, shaking = rules_of(new), media.ice and media.ice.agent, media.security.handshakes
    new.offer(fax(BOB, 20000), from_tag="B", to_tag="A", ICE=ice, transport_protocol="UDP/TLS/RTP/SAVPF")
    assert rules_of(new) == before
    new.offer(BROWSER, to_tag="B", ICE="remove", transport_protocol="RTP/AVP", rtcp_mux=["demux"])
    new.answer(sdp(BOB, 20000))
    after = media_of(new, "A")
    assert after.security is not None
    assert (after.ice and after.ice.agent, after.security.handshakes) == (agent, shaking)


def test_a_phone_with_ice_that_offers_a_fax_without_goes_on_by_ice_until_the_answer() -> None:
    new = desk()
    new.offer(sdp(ALICE, 10000, *ICE), ICE="remove")
    new.answer(sdp(BOB, 20000))
    before = rules_of(new)
    new.offer(fax(ALICE, 10002), to_tag="B")
    assert rules_of(new) == before
    new.answer(fax(BOB, 20000))
    rule = new.box.rules[media_of(new, "A").streams[0].paths[0].rule]
    assert (rule.remote, rule.stun, rule.opaque) == ((ALICE, 10002), False, True)


def test_a_fax_that_is_answered_as_audio_stays_audio() -> None:
    new = secure_caller()
    new.offer(fax(BOB, 20000), from_tag="B", to_tag="A")
    new.answer(SECURE, from_tag="B", to_tag="A")
    assert not any(rule.opaque for rule in new.box.rules.values())


def test_audio_that_is_answered_as_a_fax_breaks_no_rule() -> None:
    new = desk()
    new.offer(sdp(ALICE), transport_protocol="RTP/SAVP")
    new.answer(fax(BOB, 20000))
    assert new.box.keys == {}


def test_the_second_offer_of_another_fax_terminal_counts() -> None:
    new = secure_caller()
    new.offer(fax(BOB, 20002), from_tag="B", to_tag="A")
    new.offer(fax(CAROL, 20004), from_tag="B", to_tag="A")
    new.answer(fax(ALICE), from_tag="B", to_tag="A")
    assert new.box.rules[media_of(new, "B").streams[0].paths[0].rule].remote == (CAROL, 20004)
