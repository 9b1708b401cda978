"""The wire between Kamailio and relay loses the first reply to every command; Kamailio repeats."""

from collections.abc import Iterator

import pytest

from tests.interop.phones import Phones, connect
from tests.interop.talk import assert_names_relay, assert_talk
from tests.interop.wire import Wire
from tests.ng import split


@pytest.fixture
def losing(wire: Wire) -> Iterator[Wire]:
    wire.lost.clear()
    wire.losing = True
    yield wire
    wire.losing = False


@pytest.mark.parametrize("style", ["", "branch"], ids=["one offer", "via-branch"])
def test_a_call_survives_when_the_first_reply_to_every_command_is_lost(
    phones: Phones, losing: Wire, style: str
) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob, "lossy", style)
    assert_names_relay(outgoing, incoming)
    told = {description.address for description in incoming.told}
    assert len(told) == 1, "a repeated INVITE did not get other ports"
    assert_talk(outgoing.media, incoming.media)
    outgoing.hang_up()
    results = [split(reply)[1]["result"] for reply in losing.lost]
    assert len(results) >= 3, "offer, answer and delete"
    assert set(results) == {"ok"}
