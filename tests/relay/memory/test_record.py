from __future__ import annotations

import msgspec

from relay.memory.arms import Arm
from relay.memory.record import LARGEST, MAX_COUNT, MAX_MS, Record, Said, decode, encode
from tests.relay.memory.world import STATIC, leg


def test_the_largest_record_fits_its_bytes_and_comes_back() -> None:
    big = Record(
        network=b"n" * 16,
        family=b"f" * 16,
        named=True,
        mode="assist",
        given=(Arm.U, Arm.V6, Arm.U443, Arm.T443, Arm.TURN),
        dropped=(),  # no way is given and left out
        explored=(Arm.U443, Arm.T443),
        offered=15,
        first_check=MAX_MS,
        usable=dict.fromkeys((Arm.U, Arm.V6, Arm.TURN), MAX_MS),
        seen=(Arm.U, Arm.V6, Arm.TURN),
        chosen=Arm.TURN,
        remote="relay",
        checks_in=MAX_COUNT,
        checks_out=MAX_COUNT,
        consent_lost=1000,
        moves=1000,
        received=MAX_COUNT,
        sent=MAX_COUNT,
        seconds=10**6,
        answered=True,
        reason="silent timeout",
        round_trip=10_000,
        lost=1000,
        jitter=10_000,
        maps_anew=True,
        said=Said(False, MAX_MS, 1000, MAX_MS),
        same_site=True,
    )
    assert len(encode(big)) <= LARGEST
    assert decode(encode(big)) == big


def test_a_way_that_was_usable_too_late_failed() -> None:
    record = leg(STATIC, {Arm.T443: 6000})
    assert (record.worked, record.failed) == ((), (Arm.T443, Arm.U, Arm.U443))


def test_a_call_that_did_not_count_says_so() -> None:
    good = leg(STATIC, {Arm.U: 10})
    assert good.counts
    assert not msgspec.structs.replace(good, answered=False).counts
    assert not msgspec.structs.replace(good, seconds=1).counts


def test_a_dropped_way_is_a_wrong_guess_only_if_no_check_came_in_time() -> None:
    dropped = leg((Arm.U,), {Arm.U: 100}, dropped=(Arm.T443,))
    assert dropped.surprising == ()
    assert leg((Arm.U,), {Arm.U: 4500}, dropped=(Arm.T443,)).surprising == (Arm.T443,)
    assert leg((Arm.U,), {}).surprising == ()
    assert leg((Arm.U,), {}, dropped=(Arm.T443,)).surprising == (Arm.T443,)
    assert leg((Arm.U,), {}, dropped=(Arm.T443,), seconds=3).surprising == ()
    assert leg(STATIC, {Arm.T443: 10}, explored=(Arm.T443,)).surprising == (Arm.T443,)
