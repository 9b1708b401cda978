from __future__ import annotations

from relay.calls.timers import Timers
from tests.relay.calls.desk import ALICE, BOB, Desk, sdp

TIMERS = Timers(timeout=60, silent_timeout=600, offer_timeout=300)


def established() -> Desk:
    desk = Desk(timers=TIMERS)
    desk.offer(sdp())
    desk.answer(sdp(BOB))
    return desk


def test_a_call_without_packets_ends() -> None:
    desk = established()
    assert desk.tick(59) == []
    assert desk.tick(1) == [("call", "timeout")]
    assert desk.box.ports == {}


def test_packets_of_one_party_keep_the_call() -> None:
    desk = established()
    rule = next(iter(desk.box.rules))
    for _ in range(10):
        desk.last_packet[rule] = desk.now
        assert desk.tick(30) == []
    assert desk.tick(30) == [("call", "timeout")]


def test_a_call_on_hold_may_be_silent_for_long() -> None:
    desk = established()
    desk.offer(sdp(ALICE, 10000, "inactive"), to_tag="B")
    desk.answer(sdp(BOB, 10000, "inactive"))
    assert desk.tick(599) == []
    assert desk.tick(1) == [("call", "silent timeout")]


def test_a_party_on_hold_without_music_keeps_the_call_though_nobody_sends() -> None:
    desk = established()
    desk.offer(sdp(ALICE, 10000, "sendonly"), to_tag="B")
    desk.answer(sdp(BOB, 10000, "recvonly"))
    assert desk.tick(599) == []
    assert desk.tick(1) == [("call", "silent timeout")]


def test_an_offer_that_nobody_answers_ends() -> None:
    desk = Desk(timers=TIMERS)
    desk.offer(sdp())
    assert desk.tick(299) == []
    assert desk.tick(1) == [("call", "offer timeout")]


def described_by_two_offers() -> Desk:
    """As Kamailio asks for it where rtpengine_offer() handled the INVITE and rtpengine_manage() the 200."""
    desk = Desk(timers=TIMERS)
    desk.offer(sdp())
    desk.offer(sdp(BOB), from_tag="B", to_tag="A")
    return desk


def test_a_call_of_two_offers_lives_as_long_as_its_parties_talk() -> None:
    desk = described_by_two_offers()
    for _ in range(20):
        desk.last_packet = dict.fromkeys(desk.box.rules, desk.now)
        assert desk.tick(30) == []


def test_a_call_of_two_offers_ends_when_it_is_silent() -> None:
    desk = described_by_two_offers()
    assert desk.tick(59) == []
    assert desk.tick(1) == [("call", "timeout")]


def test_an_offer_that_is_repeated_is_still_an_offer_of_one_party() -> None:
    desk = Desk(timers=TIMERS)
    desk.offer(sdp())
    desk.offer(sdp())
    desk.offer(sdp(), via_branch="another")
    assert desk.tick(299) == []
    assert desk.tick(1) == [("call", "offer timeout")]


def test_signalling_counts_as_life() -> None:
    desk = established()
    desk.tick(50)
    desk.offer(sdp(), to_tag="B")
    assert desk.tick(50) == []


def test_the_final_timeout_ends_a_busy_call() -> None:
    desk = Desk(timers=Timers(final_timeout=100))
    desk.offer(sdp())
    desk.answer(sdp(BOB))
    desk.last_packet[next(iter(desk.box.rules))] = desk.now + 99
    assert desk.tick(100) == [("call", "final timeout")]


def test_zero_switches_a_timeout_off() -> None:
    desk = Desk(timers=Timers(timeout=0))
    desk.offer(sdp())
    desk.answer(sdp(BOB))
    assert desk.tick(1_000_000) == []
