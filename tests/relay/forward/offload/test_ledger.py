"""Whose the kernel's counts are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.forward.offload.kernel import COUNT
from relay.forward.offload.ledger import Ledger

ROOM = 4
RULES = 100


@pytest.fixture
def counts() -> NDArray[np.void]:
    return np.zeros(ROOM, COUNT)


@pytest.fixture
def below() -> NDArray[np.uint64]:
    return np.zeros(RULES, np.uint64)


@pytest.fixture
def ledger(counts: NDArray[np.void], below: NDArray[np.uint64]) -> Ledger:
    return Ledger(counts, below)


def forward(counts: NDArray[np.void], slot: int, packets: int, at: int = 1, **last: int) -> None:
    """What the program does, with packets of 10 bytes."""
    counts["packets"][slot] += packets
    counts["bytes"][slot] += 10 * packets
    counts["last"][slot] = at
    for name, value in last.items():
        counts[name][slot] = value


def opened(ledger: Ledger, receiver: int, sender: int) -> int:
    slot = ledger.open(receiver, sender)
    assert slot is not None
    return slot


def received(ledger: Ledger, rule: int) -> int:
    ledger.settle()
    return int(ledger.shares["rtp_packets"][rule])


def test_packets_are_credited_to_who_received_and_who_sent(ledger: Ledger, counts: NDArray[np.void]) -> None:
    last = {"ssrc": 9, "seq": 10, "payload_type": 8, "skipped": 2, "late": 1, "jitter": 16, "clock": 8000}
    forward(counts, opened(ledger, 7, 8), 3, at=5, **last)
    ledger.settle()
    assert ledger.shares[7].tolist() == (3, 30, 0, 0, 2, 1, 5, 9, 10, 8, 16, 8000, 0)
    assert ledger.shares[8].tolist() == (0, 0, 3, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert (ledger.packets, ledger.bytes, ledger.flaws) == (3, 30, {"rtp_skipped": 2, "rtp_late": 1})


def test_one_slot_and_all_are_settled_alike(counts: NDArray[np.void], below: NDArray[np.uint64]) -> None:
    together, apart = Ledger(counts, below), Ledger(counts, below)
    below[7] = 3
    slots = [(opened(together, 7, 8), opened(apart, 7, 8)) for _ in range(2)]
    for turn in range(1, 4):
        for slot, same in slots:
            assert slot == same
            last = {"ssrc": turn, "payload_type": turn, "skipped": 3 * turn, "late": turn}
            forward(counts, slot, turn, at=turn, seq=turn + slot, **last)
        together.settle()
        for slot, _ in slots:
            apart.settle_slot(slot)
    assert together.shares["rtp_bytes"][7] == 120
    assert together.shares["rtp_skipped"][7] == 18
    assert together.shares["ssrc"][7] == 3
    apart.shares["seq"][7] = together.shares["seq"][7]  # two packets at the same time: either may be the last
    assert together.shares.tolist() == apart.shares.tolist()
    assert (together.packets, together.bytes) == (apart.packets, apart.bytes)
    assert together.flaws == apart.flaws


def test_one_rule_may_send_what_several_receive(ledger: Ledger, counts: NDArray[np.void]) -> None:
    for receiver in (1, 2):
        forward(counts, opened(ledger, receiver, 8), 3)
    ledger.settle()
    assert ledger.shares["sent_packets"][8] == 6


def test_what_a_running_program_counts_after_the_end_is_not_lost(
    ledger: Ledger, counts: NDArray[np.void]
) -> None:
    slot = opened(ledger, 7, 8)
    ledger.close(slot)
    forward(counts, slot, 1)
    ledger.rest()
    ledger.rest()
    assert received(ledger, 7) == 1


def test_a_slot_is_used_again_after_a_rest_and_starts_anew(ledger: Ledger, counts: NDArray[np.void]) -> None:
    slots = [opened(ledger, rule, 8) for rule in range(ROOM)]
    assert ledger.open(50, 8) is None
    forward(counts, slots[0], 5)
    ledger.close(slots[0])
    assert ledger.open(50, 8) is None
    ledger.rest()
    assert ledger.open(50, 8) is None
    ledger.rest()
    assert opened(ledger, 50, 8) == slots[0]
    assert received(ledger, 50) == 0
    assert received(ledger, 0) == 5


def test_a_rule_that_ended_leaves_nothing_to_the_next_with_its_id(
    ledger: Ledger, counts: NDArray[np.void]
) -> None:
    slot = opened(ledger, 7, 8)
    forward(counts, slot, 5)
    ledger.close(slot)
    ledger.forget(7)
    forward(counts, slot, 1)
    assert received(ledger, 7) == 0
    assert ledger.packets == 6


def test_the_latest_packet_wins_whatever_slot_it_came_by(ledger: Ledger, counts: NDArray[np.void]) -> None:
    first = opened(ledger, 7, 8)
    forward(counts, first, 1, at=9, seq=2)
    ledger.close(first)
    forward(counts, opened(ledger, 7, 8), 1, at=5, seq=1)
    ledger.settle()
    assert ledger.shares["seq"][7] == 2
