"""Devices that register while the call is ringing already join it (TSILO)."""

import time

import pytest

from tests.interop.phones import Phones
from tests.interop.talk import assert_heard_only_from, assert_names_relay, assert_talk, wait_until_heard

LATE = 3.0
"""Seconds after the INVITE at which the late device registers."""

DEVICES = (("alice", 21), ("bob", 22), ("bob", 23))

STYLES = pytest.mark.parametrize("style", ["", "each", "branch"], ids=["one offer", "each", "via-branch"])


@STYLES
@pytest.mark.parametrize("early_media", [False, True], ids=["ringing", "early media"])
def test_a_device_that_registers_late_joins_the_ringing_call_and_answers(
    phones: Phones, style: str, early_media: bool
) -> None:
    alice, early, late = (phones.new(user, host, strict=True) for user, host in DEVICES)
    early.register()
    outgoing = alice.call(early.user, style)
    ringing = early.incoming()
    if early_media:
        ringing.progress()
        wait_until_heard(ringing.media, outgoing.media)
    else:
        ringing.ring()
        outgoing.wait_for_status(180)
    time.sleep(LATE)

    late.register()
    joined = late.incoming()
    joined.ring()
    joined.answer()
    outgoing.wait_for_answer()
    ringing.wait_for_cancel()
    assert_names_relay(outgoing, joined)
    assert_talk(outgoing.media, joined.media)
    assert_heard_only_from(joined.media, joined.remote.address)
    outgoing.hang_up()


@STYLES
def test_a_call_to_a_user_without_devices_waits_for_one(phones: Phones, style: str) -> None:
    alice, late = phones.new("alice", 21, strict=True), phones.new("bob", 23, strict=True)
    outgoing = alice.call(late.user, "push", style)
    outgoing.wait_for_status(100)
    time.sleep(LATE)

    late.register()
    joined = late.incoming()
    joined.ring()
    outgoing.wait_for_status(180)
    joined.answer()
    outgoing.wait_for_answer()
    assert_names_relay(outgoing, joined)
    assert_talk(outgoing.media, joined.media)
    assert_heard_only_from(joined.media, joined.remote.address)
    outgoing.hang_up()


@STYLES
def test_three_devices_wake_up_one_after_the_other_and_the_last_answers(phones: Phones, style: str) -> None:
    alice = phones.new("alice", 21, strict=True)
    devices = [phones.new("bob", host, strict=True) for host in (22, 23, 24)]
    outgoing = alice.call(devices[0].user, "push", style)
    outgoing.wait_for_status(100)
    calls = []
    for number, device in enumerate(devices, start=1):
        time.sleep(0.7)
        device.register()
        calls.append(device.incoming())
        calls[-1].progress()
        outgoing.wait_for_early_media(branches=number)
        wait_until_heard(calls[-1].media, outgoing.media)
    winner = calls[-1]
    winner.answer()
    outgoing.wait_for_answer()
    for loser in calls[:-1]:
        loser.wait_for_cancel()
    assert_talk(outgoing.media, winner.media, seconds=1.0)
    assert_heard_only_from(winner.media, winner.remote.address)
    outgoing.hang_up()


@STYLES
def test_a_waiting_call_can_be_given_up(phones: Phones, style: str) -> None:
    alice, late = phones.new("alice", 21), phones.new("bob", 23)
    outgoing = alice.call(late.user, "push", style)
    outgoing.wait_for_status(100)
    late.register()
    joined = late.incoming()
    joined.progress()
    outgoing.wait_for_early_media()
    outgoing.cancel()
    joined.wait_for_cancel()
