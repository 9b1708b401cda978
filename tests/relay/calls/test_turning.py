"""One offer to several phones of which only some check the caller: each answer is whole."""

from __future__ import annotations

from typing import Any

import pytest

from relay.calls.resources import LocalAddress
from relay.ice.agent import Agent as Peer
from relay.ice.credentials import Credentials
from relay.ice.outputs import Path as CheckPath
from relay.ice.outputs import Send
from sdp.session import Session
from tests.relay.calls.desk import ALICE, BOB, CAROL, PLAIN, RELAY, Desk, told
from tests.relay.calls.test_optimize import ALICE_KEYS, BOB_KEYS, PRIVATE, SAME, addresses, ice, phone

CAROL_KEYS = Credentials("cccc", "cccccccccccccccccccccc")
SITE = "203.0.113.77"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:{}\r\n"
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40 + "\r\n"
KEYS = {"transport_protocol": "RTP/SAVP"}
NO_ICE = {"ICE": "remove"}

CALLER = phone(ALICE, ALICE_KEYS, PRIVATE)
NEAR = phone(BOB, BOB_KEYS, PRIVATE.replace("10.0.0.5", "10.0.0.6"))
"""Answers the offer under ``assist``, for branch near."""


def far(protocol: str = "RTP/AVP", more: str = "") -> str:
    """What a phone answers for which something ends here, for branch far."""
    return phone(CAROL, CAROL_KEYS, PRIVATE.replace("10.0.0.5", "10.0.0.7"), protocol=protocol) + more


def without_ice(sdp: str) -> str:
    return sdp.partition("a=rtcp-mux")[0]


class Fork:
    """Two branches: one of the caller's site, and one with options that are in the way."""

    def __init__(self, caller: str = CALLER, **far_options: Any) -> None:
        self.caller = caller
        self.desk = Desk(PLAIN[:1])
        self.options = {**SAME, **far_options}
        self.desk.offer(caller, via_branch="near", **SAME)

    def offer_far(self) -> Session:
        return self.desk.offer(self.caller, via_branch="far", **self.options)

    def answer_near(self, sdp: str = NEAR) -> Session:
        return self.desk.answer(sdp, "N", via_branch="near", received_from=SITE)

    def answer_far(self, sdp: str) -> Session:
        return self.desk.answer(sdp, "F", via_branch="far", received_from=CAROL)

    def check_of_caller(self, answer: Session) -> list[tuple[tuple[str, int], bytes]]:
        """What is sent when the caller checks the relay's address of this answer; no checks of ours."""
        said = ice(answer)
        assert said.ufrag is not None
        assert said.pwd is not None
        caller = Peer(ALICE_KEYS, True, tie_breaker=1)
        caller.set_remote(Credentials(said.ufrag, said.pwd), self.desk.now)
        (check,) = caller.check(CheckPath(0, told(answer)), self.desk.now)
        assert isinstance(check, Send)
        before = len(self.desk.box.sent)
        port = next(h for h, port in self.desk.box.ports.items() if port.number == told(answer)[1])
        self.desk.registry.stun(port, (ALICE, 40000), check.datagram, self.desk.now)
        return [(remote, datagram) for _, remote, datagram in self.desk.box.sent[before:]]

    def is_answered_here(self, answer: Session) -> bool:
        """The relay answers checks of this answer itself."""
        sent = self.check_of_caller(answer)
        return any(remote == (ALICE, 40000) for remote, _ in sent)

    def reaches(self, answer: Session, callee: tuple[str, int]) -> bool:
        """Checks of this answer go to the phone at ``callee``, which is known by a check of its own."""
        phone = Peer(BOB_KEYS, False, tie_breaker=2)
        phone.set_remote(ALICE_KEYS, self.desk.now)
        number = next(
            leg.medias[0].streams[0].paths[0].port
            for leg in self.desk.registry.calls["call"].legs.values()
            if leg.via_branch == "near"
        )
        (check,) = phone.check(CheckPath(0, (RELAY, number.number)), self.desk.now)
        assert isinstance(check, Send)
        self.desk.registry.stun(number.handle, callee, check.datagram, self.desk.now)
        return any(remote == callee for remote, _ in self.check_of_caller(answer))


OBSTACLES = [
    (KEYS, far("RTP/SAVP", CRYPTO)),
    ({"rtcp_mux": ["demux"]}, far()),
    (NO_ICE, without_ice(far())),
    ({"ICE": "force"}, far()),
    (KEYS | NO_ICE, without_ice(far("RTP/SAVP")) + CRYPTO),
]


def assert_near(fork: Fork, answer: Session) -> None:
    """The caller is told of the phone of its site, and checks it through the relay."""
    assert ice(answer).ufrag == BOB_KEYS.ufrag
    assert addresses(answer) == ["10.0.0.6", RELAY]
    assert fork.reaches(answer, (BOB, 2000))


def assert_far(fork: Fork, answer: Session) -> None:
    """The caller is told of the relay, and checks it."""
    assert ice(answer).ufrag not in (BOB_KEYS.ufrag, CAROL_KEYS.ufrag, None)
    assert addresses(answer) == [RELAY]
    assert answer.medias[0].attributes("crypto") == []
    assert fork.is_answered_here(answer)
    assert fork.desk.box.rule_at(told(answer)[1]).sources == ((ALICE, 40000),)


@pytest.mark.parametrize(("options", "answer"), OBSTACLES)
@pytest.mark.parametrize("order", ["near", "far", "near far", "far near", "near far near", "far near far"])
def test_whoever_answers_the_caller_is_told_what_goes_with_it(
    options: dict[str, Any], answer: str, order: str
) -> None:
    fork = Fork(**options)
    fork.offer_far()
    for who in order.split():
        if who == "near":
            assert_near(fork, fork.answer_near())
        else:
            assert_far(fork, fork.answer_far(answer))
    fork.desk.command("delete", call_id="call", delete_delay=0)
    assert (fork.desk.box.ports, fork.desk.box.allocated, fork.desk.box.keys) == ({}, set(), {})


@pytest.mark.parametrize(("options", "answer"), OBSTACLES)
def test_an_offer_to_another_phone_does_not_touch_a_path_in_use(options: dict[str, Any], answer: str) -> None:
    fork = Fork(**options)
    near = fork.answer_near()
    assert_near(fork, near)
    fork.offer_far()
    assert fork.reaches(near, (BOB, 2000))
    fork.desk.command("delete", call_id="call", from_tag="A", via_branch="far", delete_delay=0)
    assert fork.reaches(near, (BOB, 2000))
    fork.offer_far()
    assert_far(fork, fork.answer_far(answer))


def test_a_phone_that_was_to_check_the_caller_and_has_no_ice_spoils_nothing() -> None:
    fork = Fork(**KEYS)
    fork.offer_far()
    first = fork.answer_near(without_ice(NEAR))
    assert addresses(first) == [RELAY]
    assert fork.is_answered_here(first)
    second = fork.answer_far(far("RTP/SAVP", CRYPTO))
    assert ice(second).ufrag == ice(first).ufrag
    assert_far(fork, second)


@pytest.mark.parametrize("order", ["far", "near far", "far near far"])
def test_the_callers_own_sdes_keys_are_end_to_end_with_one_and_end_here_with_the_other(order: str) -> None:
    caller = phone(ALICE, ALICE_KEYS, PRIVATE, protocol="RTP/SAVP") + CRYPTO
    near = phone(BOB, BOB_KEYS, PRIVATE, protocol="RTP/SAVP") + CRYPTO.replace("AAAA", "BBBB", 1)
    fork = Fork(caller, transport_protocol="RTP/AVP")
    fork.desk = Desk(PLAIN[:1])
    fork.desk.offer(caller, via_branch="near", **SAME)
    fork.offer_far()
    for who in order.split():
        answer = fork.answer_near(near) if who == "near" else fork.answer_far(far())
        (line,) = answer.medias[0].attributes("crypto")
        assert ("BBBB" in line) is (who == "near")
        assert bool(fork.desk.box.keys) is (who == "far")
        assert answer.medias[0].protocol == "RTP/SAVP"


@pytest.mark.parametrize("order", ["far", "near far"])
def test_a_browsers_keys_are_end_to_end_with_one_and_end_here_with_the_other(order: str) -> None:
    protocol = "UDP/TLS/RTP/SAVPF"
    caller = phone(ALICE, ALICE_KEYS, PRIVATE, protocol=protocol) + FINGERPRINT.format("actpass")
    near = phone(BOB, BOB_KEYS, PRIVATE, protocol=protocol) + FINGERPRINT.replace("AB", "CD").format("active")
    fork = Fork(caller, transport_protocol="RTP/AVP")
    fork.offer_far()
    for who in order.split():
        answer = fork.answer_near(near) if who == "near" else fork.answer_far(far())
        (fingerprint,) = answer.medias[0].attributes("fingerprint")
        assert ("CD:CD" in fingerprint) is (who == "near")
        assert "AB:AB" not in fingerprint
    assert fork.is_answered_here(answer)
    caller_leg = fork.desk.registry.calls["call"].leg_of("A")
    assert caller_leg is not None
    security = caller_leg.medias[0].security
    assert security is not None
    assert "AB:AB" in str(security.expected[0])
    assert list(security.handshakes) == [1]


def test_end_to_end_by_the_proxys_word_is_no_different() -> None:
    desk = Desk(PLAIN[:1])
    desk.offer(CALLER, via_branch="near", ICE="optional")
    desk.offer(CALLER, via_branch="far", ICE="force")
    first = desk.answer(far(), "F", via_branch="far")
    second = desk.answer(NEAR, "N", via_branch="near")
    assert (ice(first).ufrag not in ("cccc", None), ice(second).ufrag) == (True, BOB_KEYS.ufrag)
    assert addresses(desk.answer(far(), "F", via_branch="far")) == [RELAY]


def test_what_was_put_aside_is_forgotten_when_no_further_answer_is_expected() -> None:
    fork = Fork(**KEYS)
    fork.offer_far()
    near = fork.answer_near()
    fork.desk.tick(31.0)
    legs = fork.desk.registry.calls["call"].legs.values()
    assert all(media.aside is None for leg in legs for media in leg.medias)
    assert fork.reaches(near, (BOB, 2000))


def test_branches_on_two_interfaces_of_the_relay() -> None:
    desk = Desk((*PLAIN[:1], LocalAddress("inside", "10.0.0.1", "10.0.0.1")))
    desk.offer(CALLER, via_branch="near", **SAME)
    desk.offer(CALLER, via_branch="far", direction=["default", "inside"], **SAME)
    near = desk.answer(NEAR, "N", via_branch="near", received_from=SITE)
    answer = desk.answer(far(), "F", via_branch="far", received_from=CAROL)
    assert ice(near).ufrag == BOB_KEYS.ufrag
    assert addresses(answer) == [RELAY]
