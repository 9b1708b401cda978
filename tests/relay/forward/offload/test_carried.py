"""Whether the kernel forwards what it was given, as the counters of both tiers tell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.forward.offload.carried import Carried
from relay.forward.offload.kernel import COUNT

RULE, OTHER_RULE = 7, 8
SLOT, OTHER_SLOT = 0, 1
GATE, OTHER_GATE = 0, 1
HOP = bytes(range(24))


@pytest.fixture
def counts() -> NDArray[np.void]:
    return np.zeros(4, COUNT)


@pytest.fixture
def below() -> NDArray[np.uint64]:
    return np.zeros(100, np.uint64)


@pytest.fixture
def carried(counts: NDArray[np.void], below: NDArray[np.uint64]) -> Carried:
    counts["packets"][:] = 5  # of streams before
    made = Carried(counts, below)
    made.begin(SLOT, RULE, GATE)
    return made


def test_a_stream_is_carried_from_its_first_packet(carried: Carried, counts: NDArray[np.void]) -> None:
    assert not carried.carries(SLOT)
    counts["packets"][SLOT] += 1
    assert carried.carries(SLOT)
    carried.look()
    assert carried.carries(SLOT)


def test_one_that_pauses_is_still_carried(carried: Carried, counts: NDArray[np.void]) -> None:
    counts["packets"][SLOT] += 1
    for _ in range(3):
        carried.look()
    assert carried.carries(SLOT)


def test_one_of_which_user_space_had_everything_is_not(
    carried: Carried, counts: NDArray[np.void], below: NDArray[np.uint64]
) -> None:
    counts["packets"][SLOT] += 1
    carried.look()
    below[RULE] += 1
    found = carried.look()
    assert not carried.carries(SLOT)
    assert (set(found.works), set(found.fails), set(found.ceased)) == (set(), {GATE}, set())
    counts["packets"][SLOT] += 1
    assert carried.carries(SLOT)
    assert carried.look().works == {GATE}


def test_one_of_which_user_space_had_a_packet_among_others_is(
    carried: Carried, counts: NDArray[np.void], below: NDArray[np.uint64]
) -> None:
    counts["packets"][SLOT] += 49
    below[RULE] += 1
    found = carried.look()
    assert carried.carries(SLOT)
    assert (set(found.works), set(found.fails)) == ({GATE}, set())


def test_a_stream_that_the_kernel_never_forwarded_is_not_one_that_it_ceased_to(
    carried: Carried, below: NDArray[np.uint64]
) -> None:
    below[RULE] += 1
    found = carried.look()
    assert (set(found.fails), set(found.ceased)) == ({GATE}, set())


def test_a_gate_of_which_several_streams_went_to_user_space_has_ceased_to_work(
    carried: Carried, counts: NDArray[np.void], below: NDArray[np.uint64]
) -> None:
    carried.begin(OTHER_SLOT, OTHER_RULE, GATE)
    counts["packets"][[SLOT, OTHER_SLOT]] += 1
    carried.look()
    below[[RULE, OTHER_RULE]] += 1
    assert carried.look().ceased == {GATE}


def test_a_gate_works_as_long_as_one_stream_does(
    carried: Carried, counts: NDArray[np.void], below: NDArray[np.uint64]
) -> None:
    carried.begin(OTHER_SLOT, OTHER_RULE, GATE)
    carried.begin(2, OTHER_RULE, OTHER_GATE)
    counts["packets"][SLOT] += 1
    below[OTHER_RULE] += 1
    found = carried.look()
    assert (set(found.works), set(found.fails)) == ({GATE}, {OTHER_GATE})


def test_neighbours_are_those_of_streams_with_packets(carried: Carried, counts: NDArray[np.void]) -> None:
    counts["hop"][SLOT] = HOP
    assert carried.look().hops == set()
    counts["packets"][SLOT] += 1
    assert carried.look().hops == {HOP}
    assert carried.look().hops == set()


def test_a_slot_given_to_another_stream_begins_anew(
    carried: Carried, counts: NDArray[np.void], below: NDArray[np.uint64]
) -> None:
    counts["packets"][SLOT] += 1
    below[OTHER_RULE] = 3
    carried.look()
    carried.end(SLOT)
    carried.begin(SLOT, OTHER_RULE, OTHER_GATE)
    assert not carried.carries(SLOT)
    assert carried.look().fails == set()
