"""The words of SDES: what is offered, what is taken, and how it is written (RFC 4568)."""

from __future__ import annotations

import pytest

from sdp import crypto, dtls
from sdp.crypto import SUITES, Crypto
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, Desk, sdp, told

SAVP = "RTP/SAVP"
CM = Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))
CM_32 = Crypto(2, "AES_CM_128_HMAC_SHA1_32", bytes(range(1, 31)))
GCM = Crypto(3, "AEAD_AES_128_GCM", bytes(range(28)))
DTLS = ("fingerprint:sha-256 " + ":".join(["AB"] * 32), "setup:actpass")


def with_sdes(*lines: Crypto | str, host: str = ALICE, port: int = 10000, protocol: str = SAVP) -> str:
    written = [line if isinstance(line, str) else f"crypto:{line}" for line in lines]
    return sdp(host, port, *written, protocol=protocol)


def lines(session: Session) -> tuple[Crypto, ...]:
    return crypto.read(session.medias[0])


def suites(session: Session) -> list[str]:
    return [line.suite for line in lines(session)]


def test_the_offerers_suites_are_offered_first() -> None:
    offer = Desk().offer(with_sdes(CM_32, CM), SDES=["no-AEAD_AES_256_GCM"])
    assert suites(offer)[:2] == [CM_32.suite, CM.suite]
    assert len(suites(offer)) == 7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nonew"], [CM_32.suite, CM.suite]),
        (["nonew", "only-AEAD_AES_128_GCM"], [CM_32.suite, CM.suite]),
        (["only-AEAD_AES_128_GCM", "no-AEAD_AES_128_GCM"], [GCM.suite]),
        (["only-AES_CM_128_HMAC_SHA1_80"], [CM.suite]),
        (["order:AES_CM_128_HMAC_SHA1_80;AES_CM_128_HMAC_SHA1_32;", "nonew"], [CM.suite, CM_32.suite]),
        (["order:AES_CM_128_HMAC_SHA1_80", "nonew"], [CM.suite, CM_32.suite]),
    ],
)
def test_the_words_choose_and_order_what_is_offered(words: list[str], expected: list[str]) -> None:
    assert suites(Desk().offer(with_sdes(CM_32, CM), SDES=words)) == expected


def test_what_is_not_in_the_order_follows_in_the_usual_one() -> None:
    offer = Desk().offer(
        sdp(), transport_protocol=SAVP, SDES=["order:AES_CM_128_HMAC_SHA1_32;AEAD_AES_128_GCM;"]
    )
    assert suites(offer)[:3] == [CM_32.suite, GCM.suite, "AEAD_AES_256_GCM"]
    assert len(suites(offer)) == len(set(suites(offer))) == 8


def test_only_what_the_library_on_this_machine_can_do_is_offered_and_taken() -> None:
    desk = Desk()
    desk.box.usable = frozenset({CM_32.suite})
    assert suites(desk.offer(with_sdes(CM, CM_32), SDES=["pad"])) == [CM_32.suite]
    assert suites(desk.answer(sdp(BOB))) == [CM_32.suite]


def test_the_offerer_pref_decides_which_line_is_taken() -> None:
    desk = Desk()
    words = ["offerer_pref:AEAD_AES_256_GCM;AEAD_AES_128_GCM;"]
    desk.offer(with_sdes(CM, CM_32, GCM), transport_protocol="RTP/AVP", SDES=words)
    (line,) = lines(desk.answer(sdp(BOB)))
    assert (line.tag, line.suite) == (GCM.tag, GCM.suite)


def test_the_suite_in_use_stays_when_the_offerer_changes_its_key_or_its_order() -> None:
    desk = Desk()
    desk.offer(with_sdes(CM_32), transport_protocol="RTP/AVP")
    (first,) = lines(desk.answer(sdp(BOB)))
    desk.offer(with_sdes(CM, CM_32), to_tag="B")
    assert lines(desk.answer(sdp(BOB))) == (first,)
    desk.offer(with_sdes(CM, Crypto(2, CM_32.suite, bytes(30))), to_tag="B")
    (changed,) = lines(desk.answer(sdp(BOB)))
    assert changed.suite == CM_32.suite
    assert changed.key != first.key


@pytest.mark.parametrize(
    "unusable", ["|1:4", "|2^20|1:4", " UNENCRYPTED_SRTP", " UNAUTHENTICATED_SRTP", " KDR=4", " NEWS"]
)
def test_a_line_that_demands_what_we_cannot_do_is_passed_over(unusable: str) -> None:
    desk = Desk()
    desk.offer(with_sdes(f"crypto:{CM}{unusable}", CM_32), transport_protocol="RTP/AVP")
    assert [line.tag for line in lines(desk.answer(sdp(BOB)))] == [CM_32.tag]


def test_an_offerer_of_nothing_we_can_do_is_neither_heard_nor_sent_to_in_the_clear() -> None:
    desk = Desk()
    desk.offer(with_sdes(f"crypto:{CM}|1:4"), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB))
    assert lines(answer) == ()
    rule = desk.box.rule_at(told(answer)[1])
    assert (rule.keys, rule.dtls) == (None, True)


def test_an_answer_with_a_line_we_did_not_offer_gets_no_media() -> None:
    desk = Desk()
    offer = desk.offer(sdp(), transport_protocol=SAVP, DTLS="off")
    desk.answer(with_sdes(Crypto(99, CM.suite, CM.key), host=BOB))
    rule = desk.box.rule_at(told(offer)[1])
    assert (rule.keys, rule.dtls) == (None, True)


def test_a_lifetime_is_written_only_if_asked_for() -> None:
    assert "|" not in str(Desk().offer(sdp(), transport_protocol=SAVP))
    offer = Desk().offer(sdp(), transport_protocol=SAVP, SDES=["lifetime"])
    assert {line.lifetime for line in lines(offer)} == {2**31}


def test_the_words_of_an_answer_say_how_the_offerer_is_answered() -> None:
    desk = Desk()
    desk.offer(with_sdes(GCM), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB), SDES=["pad", "lifetime"])
    assert "==|2^31" in str(answer)


def test_recrypt_ends_the_keys_of_both_parties_here() -> None:
    offer = Desk().offer(with_sdes(CM), flags=["recrypt"])
    assert CM.key not in {line.key for line in lines(offer)}


def test_sdes_is_taken_before_dtls_if_preferred() -> None:
    desk = Desk()
    desk.offer(with_sdes(CM, *DTLS), transport_protocol="RTP/AVP", SDES=["prefer"])
    answer = desk.answer(sdp(BOB))
    assert suites(answer) == [CM.suite]
    assert not dtls.read(answer, answer.medias[0]).offered


def test_an_answer_can_refuse_the_offerers_dtls_in_favour_of_its_sdes() -> None:
    desk = Desk()
    desk.offer(with_sdes(CM, *DTLS), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB), DTLS="off")
    assert suites(answer) == [CM.suite]
    assert not dtls.read(answer, answer.medias[0]).offered
    assert desk.box.rule_at(told(answer)[1]).keys is not None


def test_crypto_under_a_dtls_profile_counts_for_nothing() -> None:
    desk = Desk()
    desk.offer(with_sdes(CM, *DTLS, protocol="UDP/TLS/RTP/SAVP"), transport_protocol="RTP/AVP")
    answer = desk.answer(sdp(BOB), DTLS="off")
    assert lines(answer) == ()
    assert dtls.read(answer, answer.medias[0]).offered


def test_every_suite_we_call_supported_is_one_that_the_library_has() -> None:
    assert {name for name, suite in SUITES.items() if suite.supported} == Desk().box.usable
