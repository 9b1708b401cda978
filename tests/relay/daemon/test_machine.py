from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.calls.resources import KeysRefused, LocalAddress
from relay.daemon.machine import Machine
from relay.forward._fastpath import NativePlane
from relay.srtp.profiles import PROFILES, MasterKey

AT = LocalAddress("default", "127.0.1.42", "127.0.1.42")


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Its plane has room for one rule, and for one pair of keys."""
    made = Machine([AT], 42100, 42103)
    plane = made.plane = NativePlane(1, rules=1)
    yield made
    made.computing.stop()
    plane.stop()


def test_a_plane_without_a_place_for_keys_is_exhausted_as_one_without_ports_is(machine: Machine) -> None:
    profile = next(iter(PROFILES))
    key = MasterKey(bytes(profile.key_length), bytes(profile.salt_length))
    keys = machine.open_keys(profile, key, key)
    with pytest.raises(KeysRefused, match="in use") as full:
        machine.open_keys(profile, key, key)
    assert full.value.exhausted
    machine.close_keys(keys)


def test_keys_of_the_wrong_length_are_refused_for_what_they_are(machine: Machine) -> None:
    profile = next(iter(PROFILES))
    with pytest.raises(KeysRefused) as wrong:
        machine.open_keys(profile, MasterKey(b"short", b""), MasterKey(b"short", b""))
    assert not wrong.value.exhausted
