"""The callee moves its media to another device by re-INVITE."""

import pytest

from tests.interop.phones import Phones, connect
from tests.interop.talk import assert_names_relay, assert_silence, assert_talk


@pytest.mark.parametrize("latching", [False, True], ids=["plain", "port-latching"])
@pytest.mark.parametrize("host", ["127.0.0.24", None], ids=["another host", "another port"])
def test_media_follow_the_callee_to_another_device(phones: Phones, latching: bool, host: str | None) -> None:
    alice, bob = phones.new("alice", 21), phones.new("bob", 22)
    bob.register()
    outgoing, incoming = connect(alice, bob)
    assert_talk(outgoing.media, incoming.media)
    old, ports = incoming.media, (outgoing.remote.address, incoming.remote.address)
    new = bob.media(host)

    incoming.reinvite("sendrecv", new, *(["port-latching"] if latching else []))
    assert incoming.media is new
    if latching:
        assert (outgoing.remote.address, incoming.remote.address) == ports
    assert_names_relay(outgoing, incoming)
    assert_talk(outgoing.media, new)
    assert_silence(old)
    outgoing.hang_up()
