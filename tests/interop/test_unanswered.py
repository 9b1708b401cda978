"""Calls that nobody answers leave nothing behind in the relay."""

import pytest

from tests.interop.phones import Phones
from tests.interop.relay import Relay
from tests.interop.talk import assert_talk

STYLES = pytest.mark.parametrize("style", ["", "each", "branch"], ids=["one offer", "each", "via-branch"])


@STYLES
def test_a_cancelled_call_leaves_nothing_behind(phones: Phones, relay: Relay, style: str) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing = alice.call(bob.user, style)
    incoming = bob.incoming()
    incoming.ring()
    outgoing.wait_for_status(180)
    assert relay.client.calls() == [outgoing.id]
    outgoing.cancel()
    incoming.wait_for_cancel()
    relay.wait_for_no_calls()


@STYLES
@pytest.mark.parametrize("status", [486, 404])
def test_a_refused_call_leaves_nothing_behind(phones: Phones, relay: Relay, style: str, status: int) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing = alice.call(bob.user, style)
    bob.incoming().reject(status)
    outgoing.wait_for_status(status)
    relay.wait_for_no_calls()


def test_a_call_to_nobody_leaves_nothing_behind(phones: Phones, relay: Relay) -> None:
    outgoing = phones.new("alice", 21).call("nobody")
    outgoing.wait_for_status(404)
    relay.wait_for_no_calls()


@STYLES
def test_a_call_cancelled_after_early_media_leaves_nothing_behind(
    phones: Phones, relay: Relay, style: str
) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing = alice.call(bob.user, style)
    incoming = bob.incoming()
    incoming.progress()
    outgoing.wait_for_early_media()
    assert_talk(outgoing.media, incoming.media, seconds=0.4)
    outgoing.cancel()
    incoming.wait_for_cancel()
    relay.wait_for_no_calls()


@STYLES
def test_one_busy_device_does_not_hurt_the_other(phones: Phones, style: str) -> None:
    alice, busy, free = phones.new("alice", 21), phones.new("bob", 22), phones.new("bob", 23)
    busy.register()
    free.register()
    outgoing = alice.call(busy.user, style)
    answered = free.incoming()
    busy.incoming().reject(486)
    answered.answer()
    outgoing.wait_for_answer()
    assert_talk(outgoing.media, answered.media, seconds=0.8)
    outgoing.hang_up()
