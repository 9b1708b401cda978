"""A call that rings two devices at once: two early answers, one winner.

The devices accept media only from the very address and port they were told to send to.
"""

import pytest

from tests.interop.phone import Call
from tests.interop.phones import Phones
from tests.interop.talk import (
    assert_heard_only_from,
    assert_hears_for,
    assert_names_relay,
    assert_silence,
    assert_talk,
    wait_until_heard,
)

STYLES = pytest.mark.parametrize("style", ["", "each", "branch"], ids=["one offer", "each", "via-branch"])


def ring_two(phones: Phones, style: str, *, strict: bool) -> tuple[Call, Call, Call]:
    """The caller's call and those of the two devices that it rings."""
    alice = phones.new("alice", 21, strict=strict)
    devices = [phones.new("bob", host, strict=strict) for host in (22, 23)]
    for device in devices:
        device.register()
    outgoing = alice.call(devices[0].user, style)
    first, second = (device.incoming() for device in devices)
    return outgoing, first, second


@STYLES
@pytest.mark.parametrize("strict", [False, True], ids=["any source", "told source only"])
@pytest.mark.parametrize("winner_is_first", [True, False], ids=["first wins", "second wins"])
def test_two_devices_send_early_media_and_one_answers(
    phones: Phones, style: str, strict: bool, winner_is_first: bool
) -> None:
    outgoing, first, second = ring_two(phones, style, strict=strict)

    first.progress()
    outgoing.wait_for_early_media(branches=1)
    wait_until_heard(outgoing.media, first.media)
    wait_until_heard(first.media, outgoing.media)

    second.progress()
    outgoing.wait_for_early_media(branches=2)
    wait_until_heard(outgoing.media, second.media)
    wait_until_heard(second.media, outgoing.media)

    winner, loser = (first, second) if winner_is_first else (second, first)
    winner.answer()
    outgoing.wait_for_answer()
    loser.wait_for_cancel()
    assert_names_relay(outgoing, winner)
    assert_talk(outgoing.media, winner.media)
    assert_silence(loser.media)
    if strict:
        for call in (winner, loser):
            assert_heard_only_from(call.media, call.remote.address)
    outgoing.hang_up()
    winner.wait_for_end()


@STYLES
def test_all_branches_answer_with_the_same_port_for_the_caller(phones: Phones, style: str) -> None:
    outgoing, first, second = ring_two(phones, style, strict=True)
    for branches, call in enumerate((first, second), start=1):
        call.progress()
        outgoing.wait_for_early_media(branches)
    second.answer()
    outgoing.wait_for_answer()
    first.wait_for_cancel()
    assert len({description.address for description in outgoing.told}) == 1
    outgoing.hang_up()


@STYLES
def test_a_device_that_only_rang_can_win(phones: Phones, style: str) -> None:
    outgoing, first, second = ring_two(phones, style, strict=True)
    first.progress()
    outgoing.wait_for_early_media()
    second.ring()
    wait_until_heard(first.media, outgoing.media)
    second.answer()
    outgoing.wait_for_answer()
    first.wait_for_cancel()
    assert_talk(outgoing.media, second.media, seconds=1.0)
    assert_heard_only_from(second.media, second.remote.address)
    outgoing.hang_up()


@STYLES
def test_the_winner_of_a_fork_can_be_put_on_hold(phones: Phones, style: str) -> None:
    outgoing, first, second = ring_two(phones, style, strict=True)
    first.ring()
    second.progress()
    first.answer()
    outgoing.wait_for_answer()
    ports = outgoing.remote.address, first.remote.address
    outgoing.reinvite("sendonly")
    assert first.remote.direction == "sendonly"
    assert_hears_for(0.5, (first.media, outgoing.media))
    first.reinvite("sendrecv")
    assert_talk(outgoing.media, first.media, seconds=0.8)
    assert (outgoing.remote.address, first.remote.address) == ports
    outgoing.hang_up()
