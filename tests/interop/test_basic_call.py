"""Two phones talk through Kamailio and the relay."""

from tests.interop.phones import Phones, connect
from tests.interop.talk import (
    assert_heard_in_total,
    assert_heard_only_from,
    assert_hears_for,
    assert_names_relay,
    assert_talk,
)


def test_both_phones_of_a_call_hear_each_other_and_only_the_relay(phones: Phones) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    assert 180 in outgoing.statuses
    assert_names_relay(outgoing, incoming)
    assert outgoing.remote.address != incoming.remote.address
    assert_talk(outgoing.media, incoming.media, seconds=2.0)
    outgoing.hang_up()
    incoming.wait_for_end()
    assert_heard_in_total(outgoing.media, incoming.media)
    assert_heard_in_total(incoming.media, outgoing.media)
    assert_heard_only_from(outgoing.media, outgoing.remote.address)
    assert_heard_only_from(incoming.media, incoming.remote.address)


def test_the_callee_can_hang_up(phones: Phones) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    incoming.hang_up()
    outgoing.wait_for_end()


def test_early_media_is_heard_before_the_answer(phones: Phones) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing = alice.call(bob.user)
    incoming = bob.incoming()
    incoming.progress()
    outgoing.wait_for_early_media()
    assert_names_relay(outgoing, incoming)
    assert_talk(outgoing.media, incoming.media, seconds=1.0)
    early = outgoing.remote.address
    incoming.answer()
    outgoing.wait_for_answer()
    assert outgoing.remote.address == early
    assert_talk(outgoing.media, incoming.media, seconds=1.0)
    outgoing.hang_up()


def test_ten_calls_at_once_do_not_mix(phones: Phones) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing = [alice.call(bob.user) for _ in range(10)]
    answered = [bob.incoming() for _ in range(10)]
    for call in answered:
        call.answer()
    for call in outgoing:
        call.wait_for_answer()
    incoming = [bob.calls[call.id] for call in outgoing]
    told = {call.remote.address for call in [*outgoing, *incoming]}
    assert len(told) == 20, "every leg has a port of its own"
    pairs = list(zip(outgoing, incoming, strict=True))
    assert_hears_for(2.0, *((a.media, b.media) for a, b in pairs), *((b.media, a.media) for a, b in pairs))
    for a, b in pairs:
        assert_names_relay(a, b)
        assert a.media.heard() == a.media.heard(b.media.ssrc), "nobody else is heard"
        assert b.media.heard() == b.media.heard(a.media.ssrc), "nobody else is heard"
        a.hang_up()
