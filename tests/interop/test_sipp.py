"""SIPp calls and is called, with RTP echoed by SIPp itself; then 50 calls a second."""

from pathlib import Path

import pytest

from tests.interop import sipp
from tests.interop.kamailio import Kamailio
from tests.interop.phone import Call
from tests.interop.phones import Phones
from tests.interop.talk import ENOUGH, assert_hears_for, assert_names_relay


@pytest.mark.parametrize("count", [1, 10], ids=["one call", "ten at once"])
def test_sipp_is_called_and_its_echo_comes_back(phones: Phones, tmp_path: Path, count: int) -> None:
    alice = phones.new("alice", 21)
    with sipp.callee(count, tmp_path) as callee:
        alice.register(callee.contact)
        calls = [alice.call(alice.user) for _ in range(count)]
        for call in calls:
            call.wait_for_answer()
            assert_names_relay(call)
        sent = talk_with_echo(callee, calls)
        for call in calls:
            call.hang_up()
        callee.wait_for_success(timeout=10.0)
    assert callee.echoed_packets() > ENOUGH * sent


@pytest.mark.parametrize("count", [1, 10], ids=["one call", "ten at once"])
def test_sipp_calls_and_its_echo_comes_back(
    phones: Phones, kamailio: Kamailio, tmp_path: Path, count: int
) -> None:
    bob = phones.new("bob", 22)
    bob.register()
    with sipp.caller(bob.user, kamailio.address, count, count, 4.0, tmp_path) as caller:
        calls = [bob.incoming() for _ in range(count)]
        for call in calls:
            call.answer()
            assert_names_relay(call)
        sent = talk_with_echo(caller, calls)
        for call in calls:
            call.wait_for_end()
        caller.wait_for_success(timeout=10.0)
    assert caller.echoed_packets() > ENOUGH * sent


def talk_with_echo(peer: sipp.Sipp, calls: list[Call]) -> int:
    """Each phone hears over 95 % of its own words; returns what they had said when SIPp counted."""
    assert_hears_for(2.0, *((call.media, call.media) for call in calls))
    sent = sum(call.media.sent for call in calls)
    peer.note_echo()
    assert_hears_for(0.3, *((call.media, call.media) for call in calls))
    return sent


def test_no_call_fails_at_fifty_calls_a_second_for_twenty_seconds(
    phones: Phones, kamailio: Kamailio, tmp_path: Path
) -> None:
    count = 50 * 20
    user = phones.new("sipp", 26)
    with sipp.callee(count, tmp_path) as callee:
        user.register(callee.contact)
        with sipp.caller(user.user, kamailio.address, count, 50, 1.0, tmp_path) as caller:
            caller.wait_for_success(timeout=60.0)
        callee.wait_for_success(timeout=10.0)
