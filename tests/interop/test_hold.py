"""Hold and resume by re-INVITE, from both sides."""

import pytest

from tests.interop.phone import Call
from tests.interop.phones import Phones, connect
from tests.interop.talk import assert_hears_for, assert_names_relay, assert_silence, assert_talk


def hold_and_resume(holder: Call, held: Call) -> None:
    """`holder` puts `held` on hold with music, and takes the call back."""
    ports = holder.remote.address, held.remote.address

    holder.reinvite("sendonly")
    assert held.remote.direction == "sendonly"
    assert holder.remote.direction == "recvonly"
    assert (holder.remote.address, held.remote.address) == ports
    assert_hears_for(0.8, (held.media, holder.media))
    assert_silence(holder.media)

    holder.reinvite("sendrecv")
    assert held.remote.direction == "sendrecv"
    assert holder.remote.direction == "sendrecv"
    assert (holder.remote.address, held.remote.address) == ports
    assert_talk(holder.media, held.media, seconds=1.0)
    assert_names_relay(holder, held)


@pytest.mark.parametrize("words", [(), ("branch",)], ids=["plain", "via-branch"])
def test_hold_keeps_the_ports_and_media_resumes_from_both_sides(
    phones: Phones, words: tuple[str, ...]
) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob, *words)
    assert_talk(outgoing.media, incoming.media, seconds=0.5)
    hold_and_resume(outgoing, incoming)
    hold_and_resume(incoming, outgoing)
    outgoing.hang_up()


def test_a_call_on_hold_can_be_hung_up(phones: Phones) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    outgoing.reinvite("inactive")
    assert incoming.remote.direction == "inactive"
    assert outgoing.remote.direction == "inactive"
    incoming.hang_up()
    outgoing.wait_for_end()
